"""Signed bundles with chosen flaws, and a line of readings that is judged as the worker judges it."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.bundle import GATE_FILE, GATE_SIGNATURE_FILE, load, read
from service.candidate import Limits
from service.errors import BundleError
from service.gate import ABSENT
from service.ledger import Entry, Ledger
from service.monitor import FleetState, Policy, step
from service.opening import Own
from service.rollout import Plan, Rollout
from service.signature import Trust, sign
from service.steady import Steady
from service.swap import Rules
from tests.service.core.conftest import GRAPHS, make_profile, make_reading, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.chronicle import Progress
    from service.monitor import Models

PATIENCE_S = 30.0

# a loop that no one waits for: it counts to a number that the samples give
SPIN = """
    spins = Gather <axis = 1> (accel_m_s2, i22)
    most = ReduceMax <keepdims = 0> (spins)
    laps = Cast <to = 7> (most)
    calm = Loop (laps, truth, zero) <body = lap (int64 k, bool go, float held) => (bool on, float swung) {
        on = Identity (go)
        next = Add (held, tiny)
        swung = Sin (next)
    }>
    rest = Mul (calm, zero)
"""


def spinning(anomaly: str) -> str:
    """The anomaly graph, spinning as many laps as sample 22 of a row says."""
    text = anomaly.replace(
        "int64 i21 = {21},", "int64 i21 = {21}, int64 i22 = {22}, bool truth = {1}, float tiny = {0.1},"
    )
    text = text.replace(
        "    anomaly = Add (sum, looked)", SPIN + "    summed = Add (sum, looked)\n    anomaly = Add (summed, rest)"
    )
    assert text.count("Loop") == 1
    return text


def report(candidate: str, champion: str = "a" * 64) -> bytes:
    """A gate's report as ``training.gate`` writes it, of one figure."""
    figure = {"name": "inner_race.recall", "what": "windows over the threshold", "better": "higher", "units": 49}
    figure |= {"champion": 0.9215, "candidate": 0.9412, "change": 0.0197, "lo": 0.001, "hi": 0.04, "margin": 0.05}
    check = {"name": "size_ratio", "passed": True, "found": "1.000", "limit": "<= 1.6", "value": 1.0}
    body = {"schema_version": 1, "verdict": "passed", "candidate": candidate, "champion": champion, "tiny": False}
    body |= {"refused": [], "replay": {"windows": 1024}, "checks": [check], "absent": []}
    body |= {"slices": [figure | {"verdict": "better", "limit": None}]}
    return json.dumps(body).encode()


def with_report(folder: Path, key: Ed25519PrivateKey) -> Path:
    """The bundle's folder with a signed report about it."""
    raw = report(read(folder).digest)
    (folder / GATE_FILE).write_bytes(raw)
    (folder / GATE_SIGNATURE_FILE).write_bytes(sign(raw, key, what="gate"))
    return folder


class Press:
    """Makes signed bundles."""

    def __init__(self, folder: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self._folder = folder
        self._made = 0

    def __call__(
        self,
        version: int,
        *,
        release: int = 0,
        key: Ed25519PrivateKey | None = None,
        signed: bool = True,
        to: Path | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        **parts: Any,
    ) -> Path:
        """A whole bundle in a folder of its own, or renamed to ``to``; ``parts`` as ``write_bundle`` takes them."""
        self._made += 1

        def numbered(manifest: dict[str, Any]) -> None:
            manifest["version"] = version
            if change is not None:
                change(manifest)

        folder = write_bundle(self._folder / f"made-{self._made}", change=numbered, **parts)
        if signed:
            self.seal(folder, release=release, key=key)
        if to is not None:
            to.parent.mkdir(parents=True, exist_ok=True)
            return folder.rename(to)
        return folder

    def seal(self, folder: Path, *, release: int = 0, key: Ed25519PrivateKey | None = None) -> None:
        """Sign what is in the folder."""
        raw = (folder / "manifest.json").read_bytes()
        (folder / "bundle.sig").write_bytes(sign(raw, key or self.key, release))

    @property
    def trust(self) -> Trust:
        """Trusts this press and nobody else."""
        return Trust([self.key.public_key()])


class Line:
    """Motors, a rollout, and a thread that judges readings without a pause, as the worker would."""

    def __init__(
        self,
        data: Path,
        press: Press,
        models: Models,
        rules: Rules,
        limits: Limits,
        own: Own,
        motors: int = 4,
    ) -> None:
        self.ledger = Ledger(data)
        self.ledger.open()
        self.told: list[Progress] = []
        self.profiles = {f"m{k}": make_profile(f"m{k}") for k in range(motors)}
        self.policy = Policy()
        active = self.ledger.record.active
        kept = active is not None and active.digest == models.digest
        self.entry = active if kept and active else Entry(version=models.manifest.version, digest=models.digest)
        self.rollout = Rollout(
            self.ledger,
            press.trust,
            Plan(rules, limits, 0.5),
            self.policy,
            models,
            self.entry,
            ABSENT,
            own,
            self.told.append,
        )
        self.state = FleetState()
        self.judged: list[tuple[str, int]] = []
        """Digest and number of healths of each batch."""
        self.fields: Callable[[int], dict[str, Any]] = lambda _: {}
        """Fields of the readings of a turn."""
        self.resets = 0
        self.lost = 0
        self._steady = Steady()
        self._turn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Line:
        """Begin."""
        self.rollout.start()
        self._thread.start()
        return self

    def close(self) -> None:
        """End, in good order."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        self.rollout.stop()
        if self._thread.is_alive():
            pytest.fail("the judging thread hangs in a model's run; a candidate that spins was swapped in")

    def _run(self) -> None:
        while not self._stop.is_set():
            self.turn()
            time.sleep(0.005)

    def turn(self) -> None:
        """One batch: a reading of every motor."""
        fields = self.fields(self._turn)
        readings = [make_reading(motor, seq=self._turn, **fields) for motor in self.profiles]
        self._turn += 1
        models, before, moment = self.rollout.models, self.state, self._steady.now()
        started = time.perf_counter()
        result = step(
            before, readings, self.profiles, models, now_ts_s=1_800_000_000.0, policy=self.policy, moment=moment
        )
        self.rollout.tap.put(
            models,
            before,
            readings,
            self.profiles,
            result,
            failures=len(result.failures),
            step_s=time.perf_counter() - started,
            now_ts_s=1_800_000_000.0,
            moment=moment,
        )
        self.state = result.state
        self.resets += len(result.resets)
        self.lost += len(readings) - len(result.health) - len(result.failures)
        self.judged.append((models.digest, len(result.health)))

    def wait(self, *phases: str, timeout_s: float = PATIENCE_S) -> Progress:
        """Until the newest candidate is in one of these phases."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.told and self.told[-1].phase in phases:
                return self.told[-1]
            time.sleep(0.01)
        return pytest.fail(f"waited in vain for {phases}; told {[(p.phase, p.reason) for p in self.told]}")

    def phases(self) -> list[str]:
        """Phases so far."""
        return [progress.phase for progress in self.told]


QUICK = Rules(min_readings=24, shadow_max_s=20.0, soak_s=0.3, soak_max_s=5.0, max_slowdown=50.0)


@pytest.fixture(scope="session")
def press(tmp_path_factory: pytest.TempPathFactory) -> Press:
    return Press(tmp_path_factory.mktemp("press"))


@pytest.fixture(scope="session")
def installed(press: Press) -> Path:
    return press(1, signed=False)


@pytest.fixture(scope="session")
def running(installed: Path) -> Models:
    return load(installed)


@pytest.fixture
def line(tmp_path: Path, press: Press, running: Models, installed: Path) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(*, start: bool = True, rules: Rules = QUICK, limits: Limits | None = None, **more: Any) -> Line:
        limits = limits or Limits(start_s=20.0, run_s=2.0, cpu_s=10)
        own = Own(installed, Entry(version=running.manifest.version, digest=running.digest))
        lines.append(Line(tmp_path / "data", press, more.pop("models", running), rules, limits, own, **more))
        return lines[-1].start() if start else lines[-1]

    yield make
    for one in lines:
        one.close()


@pytest.fixture(scope="session")
def spinning_anomaly() -> str:
    return spinning(GRAPHS["anomaly"])


def refusal(act: Callable[[], object]) -> str:
    """The one line that an act is refused with."""
    with pytest.raises(BundleError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)
