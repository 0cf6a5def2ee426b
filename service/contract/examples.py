"""One or two messages of every type, for the AsyncAPI document; samples are shortened."""

from __future__ import annotations

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from service.contract.messages import (
    Alert,
    Birth,
    Health,
    Message,
    MotorAvailability,
    Nameplate,
    NodeAvailability,
    Reading,
    Rejection,
    Sensor,
    Truth,
)

MOTOR = "pump-7"
NODE = "edge-1"
_TS_S = 1_767_225_600.0
_BOOT = "b1"
_MODEL = "0123456789ab"

EXAMPLES: dict[type[Message], dict[str, Message]] = {
    Reading: {
        "temperatures": Reading(
            motor=MOTOR, boot=_BOOT, seq=1, ts_s=_TS_S, load=0.8, winding_c=78.5, housing_c=51.0, ambient_c=22.0
        ),
        "vibration": Reading(
            motor=MOTOR,
            boot=_BOOT,
            seq=2,
            ts_s=_TS_S + 60.0,
            fs_hz=12_000.0,
            accel_m_s2={"x": np.array([0.25, -0.5, 1.125, 0.0], dtype=np.float32)},
            speed_rpm=1478.0,
            current_a=14.5,
        ),
    },
    Birth: {
        "pump": Birth(
            motor=MOTOR,
            ts_s=_TS_S,
            name="cooling water pump 7",
            nameplate=Nameplate(rated_power_w=7500.0, rated_speed_rpm=1470.0, rated_current_a=15.0),
            bearing=CATALOGUE["6206"],
            sensors=(Sensor(signal="accel_m_s2.x", unit="m/s^2", low=-490.0, high=490.0),),
            interval_s=60.0,
        )
    },
    Health: {
        "outer_race": Health(
            motor=MOTOR,
            ts_s=_TS_S + 60.0,
            boot=_BOOT,
            seq=2,
            state="warning",
            diagnosis=Fault.OUTER_RACE,
            anomaly=1.4,
            probabilities={Fault.OUTER_RACE: 0.93, Fault.IMBALANCE: 0.02},
            severity=0.35,
            health=0.64,
            rul_h=310.0,
            rul_low_h=190.0,
            rul_high_h=520.0,
            rul_q25_h=255.0,
            rul_q75_h=370.0,
            nis=1.1,
            missing=("winding_c",),
            model=_MODEL,
        )
    },
    Alert: {
        "open": Alert(
            id=f"{MOTOR}:{Fault.OUTER_RACE}:{int(_TS_S) * 1000}",
            motor=MOTOR,
            condition=Fault.OUTER_RACE,
            state="open",
            revision=0,
            opened_ts_s=_TS_S,
            ts_s=_TS_S,
            severity=0.35,
            probability=0.93,
            rul_h=310.0,
            reason="outer race defect at 93 % in 3 of the last 5 readings",
            model=_MODEL,
        )
    },
    MotorAvailability: {"silent": MotorAvailability(motor=MOTOR, state="silent", ts_s=_TS_S, node=NODE)},
    NodeAvailability: {
        "online": NodeAvailability(node=NODE, state="online", ts_s=_TS_S, version="0.1.0", model=_MODEL)
    },
    Rejection: {
        "missing field": Rejection(
            node=NODE,
            ts_s=_TS_S,
            topic=f"motortwin/v1/motor/{MOTOR}/reading",
            reason="invalid",
            field="fs_hz",
            detail="missing beside accel_m_s2",
            remedy="add the sampling rate in Hz as fs_hz",
        )
    },
    Truth: {
        "inner_race": Truth(
            motor=MOTOR,
            boot=_BOOT,
            seq=2,
            ts_s=_TS_S,
            faults={Fault.INNER_RACE: 0.2},
            failure_ts_s=_TS_S + 900_000.0,
            rul_h=250.0,
        )
    },
}
