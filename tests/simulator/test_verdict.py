"""The demo's last line is only worth something if its arithmetic is tested."""

from service.contract.faults import Fault
from service.contract.messages import Alert, Truth
from simulator.verdict import Verdict

T0 = 1.7e9
HOUR = 3600.0


def truth(hour: float, severity: float = 0.0, fault: Fault = Fault.BALL, *, failed: bool = False) -> Truth:
    return Truth(
        motor="m",
        boot="b",
        seq=int(hour),
        ts_s=T0 + hour * HOUR,
        faults={fault: severity},
        failed=failed,
        failure_ts_s=T0 + 10 * HOUR if severity else None,
    )


def alert(hour: float, condition: str, *, motor: str = "m") -> Alert:
    at = T0 + hour * HOUR
    return Alert(
        id=f"{motor}:{condition}:{hour}",
        motor=motor,
        condition=condition,
        state="open",
        revision=0,
        opened_ts_s=at,
        ts_s=at,
        reason="r",
        model="0",
    )


def life() -> Verdict:
    verdict = Verdict()
    for hour in range(13):
        verdict.truth(truth(hour, max(0.0, (hour - 3) / 7) if hour < 10 else 1.0, failed=hour >= 10))
    return verdict


def test_a_failure_without_an_alert_is_missed() -> None:
    assert life().missed() == [("m", T0 + 10 * HOUR)]


def test_a_named_alert_before_the_failure_counts_with_its_lead() -> None:
    verdict = life()
    verdict.alert(alert(6, "ball"))
    assert not verdict.missed()
    assert not verdict.false()
    assert verdict.warned() == {Fault.BALL: 4.0}


def test_an_alert_after_the_failure_does_not_count_as_warning() -> None:
    verdict = life()
    verdict.alert(alert(11, "ball"))
    assert verdict.missed()
    assert not verdict.false()


def test_an_anomaly_alert_is_true_while_a_fault_is_active_but_names_nothing() -> None:
    verdict = life()
    verdict.alert(alert(6, "anomaly"))
    assert not verdict.false()
    assert verdict.missed()


def test_an_alert_before_the_onset_or_of_another_fault_or_motor_is_false() -> None:
    verdict = life()
    for wrong in (alert(1, "ball"), alert(6, "cage"), alert(1, "anomaly"), alert(6, "ball", motor="other")):
        verdict.alert(wrong)
    assert len(verdict.false()) == verdict.alerts == 4


def test_updates_of_an_alert_are_not_new_alerts() -> None:
    verdict = life()
    assert verdict.alert(alert(6, "ball"))
    assert not verdict.alert(alert(6, "ball"))
    assert verdict.alerts == 1


def test_a_warning_from_before_a_repair_does_not_cover_the_next_failure() -> None:
    verdict = Verdict()
    for hour in range(5):
        verdict.truth(truth(hour, 0.5))
    verdict.truth(truth(5, 0.0))
    for hour in range(6, 10):
        verdict.truth(truth(hour, 0.5))
    verdict.truth(truth(10, 1.0, failed=True))
    verdict.alert(alert(2, "ball"))
    assert verdict.missed()
