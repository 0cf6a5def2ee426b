"""The batch arithmetic of drift against the same rules written down one reading, one channel, one number at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from service import drift
from service.contract.messages import AXES
from service.contract.sketch import CHANNELS, SketchSpec
from tests.service.core.test_drift import operating, plates, spec

MOTORS, READINGS = 24, 700
SPEED_RPM, CURRENT_A, WINDING_K, HOUSING_K = plates(1)[0, :4].tolist()


@dataclass
class Channel:
    """One channel of one motor."""

    level: list[float] = field(default_factory=list)  # of the present block
    blocks: list[tuple[float, float]] = field(default_factory=list)  # (load, level) while learning
    baseline: tuple[float, float, float, float] | None = None  # level, slope, spread, mean load
    up: float = 0.0  # Shiryaev-Roberts sums
    down: float = 0.0


@dataclass
class Motor:
    """What the docstring of ``service.drift`` says, for one motor."""

    spec: SketchSpec
    block: int | None = None
    loads: list[float] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=lambda: [Channel() for _ in CHANNELS])
    reach: float = 0.0

    def hear(self, ts_s: float, levels: list[float], scalars: list[float], *, faulty: bool) -> tuple[str, ...]:
        """Take one reading; the names of channels that have drifted."""
        block = math.floor(ts_s / self.spec.block_s)
        if block != self.block:
            if self.loads:
                self.close()
            self.block, self.loads = block, []
            for channel in self.channels:
                channel.level = []
        speed, current, load, winding, housing, ambient = scalars
        share = current / CURRENT_A
        idle = speed < 0.3 * SPEED_RPM or share < 0.1
        values = [*levels, math.log(share) if share > 0 else math.nan]
        values += [(winding - ambient) / WINDING_K, (housing - ambient) / HOUSING_K]
        loading = share if math.isnan(load) else load
        at = 0.0 if math.isnan(loading) else loading - 0.6
        heard = False
        for k, value in enumerate(values):
            if faulty or idle or math.isnan(value):
                continue
            heard = True
            own = (0.0 if math.isnan(load) else load - 0.6) if CHANNELS[k] == "current_a" else at
            turning = 0.0 if math.isnan(speed) else math.log(max(speed / SPEED_RPM, 0.01))
            linear, square, speeding = self.spec.slopes[CHANNELS[k].partition(".")[0]]
            self.channels[k].level.append(value - own * linear - own**2 * square - turning * speeding)
        if heard:
            self.loads.append(at)
        blocks_to_alarm = self.spec.false_alarm_h * 3600.0 / self.spec.block_s
        limit = 2 * len(CHANNELS) * blocks_to_alarm
        return tuple(
            name
            for name, channel in zip(CHANNELS, self.channels, strict=True)
            if channel.baseline is not None and max(channel.up, channel.down) >= limit
        )

    def close(self) -> None:
        """The present block is over."""
        load = math.fsum(self.loads) / len(self.loads)
        ceiling = 2 * len(CHANNELS) * self.spec.false_alarm_h * 3600.0 / self.spec.block_s * math.exp(4.0)
        learnt = []
        for name, channel in zip(CHANNELS, self.channels, strict=True):
            if not channel.level:
                continue
            y = math.fsum(channel.level) / len(channel.level)
            if channel.baseline is None:
                channel.blocks.append((load, y))
                if len(channel.blocks) == self.spec.learning_blocks:
                    learnt.append(channel)
                continue
            kind = name.partition(".")[0]
            level, slope, spread, mean_load = channel.baseline
            if abs(load - mean_load) > self.reach + 0.05:
                continue
            spread = max(spread, 0.02)
            r = (y - level - slope * (load - mean_load)) / spread
            e = max(self.spec.tolerated[kind] / spread, 2.8 / math.sqrt(self.spec.learning_blocks))
            d = min(max(self.spec.sought[kind] / spread - e, 0.5), 1.5)
            channel.up = min((1 + channel.up) * math.exp(min(d * (r - e) - d * d / 2, 2.0)), ceiling)
            channel.down = min((1 + channel.down) * math.exp(min(d * (-r - e) - d * d / 2, 2.0)), ceiling)
        for channel in learnt:
            loads, ys = np.array(channel.blocks).T
            across = float(((loads - loads.mean()) ** 2).sum())
            slope = float(((loads - loads.mean()) * (ys - ys.mean())).sum()) / (across + 0.02)
            left = max(float(((ys - ys.mean()) ** 2).sum()) - slope**2 * across, 0.0)
            spread = math.sqrt(left / (len(ys) - 2))
            channel.baseline = (float(ys.mean()), slope, spread, float(loads.mean()))
            self.reach = max(self.reach, 2.0 * math.sqrt(across / len(ys)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_batch_finds_what_the_rules_find_one_number_at_a_time(seed: int) -> None:
    """Gaps, idle machines, named faults, sensors that come and go; a third of the motors changes for a while."""
    rng = np.random.default_rng(seed)
    slopes = {"accel_m_s2": (0.3, -0.1, 0.2), "current_a": (0.8, 0.1, 0.0), "winding_c": (1.0, 0.3, 0.0)}
    rules_spec = spec(
        block_s=10.0, learning_blocks=12, false_alarm_h=0.5, slopes=slopes | {"housing_c": (0.7, 0.2, 0.0)}
    )
    rules = drift.Rules(rules_spec)
    motors = [Motor(rules_spec) for _ in range(MOTORS)]
    records = [b""] * MOTORS
    found = 0
    for k in range(READINGS):
        axes = rng.normal(0.0, 0.1, (MOTORS, len(AXES)))
        axes[:, 2] = np.nan
        axes[rng.random(axes.shape) < 0.02] = np.nan
        if 250 <= k < 550:
            axes[: MOTORS // 3, 0] += math.log(1.5)
        load = rng.uniform(0.4, 0.9, MOTORS)
        scalars = operating(
            MOTORS,
            load=load,
            speed_rpm=np.where(rng.random(MOTORS) < 0.02, 100.0, rng.uniform(1300.0, 1500.0, MOTORS)),
            current_a=np.where(rng.random(MOTORS) < 0.02, 0.3, 10.0 * load),
            winding_c=20.0 + 80.0 * load,
        )
        scalars[rng.random(scalars.shape) < 0.02] = np.nan
        faulty = rng.random(MOTORS) < 0.03
        some = np.flatnonzero(rng.random(MOTORS) < 0.9)  # others are not heard in this batch
        ts_s = 1.8e9 + 3.0 * k + rng.uniform(0.0, 2.0, MOTORS)
        after = rules.advance(
            [records[m] for m in some], axes[some], scalars[some], plates(len(some)), ts_s[some], faulty[some]
        )
        for row, m in enumerate(some.tolist()):
            records[m] = after.records[row]
            said = motors[m].hear(float(ts_s[m]), axes[m].tolist(), scalars[m].tolist(), faulty=bool(faulty[m]))
            assert after.names.get(row, ()) == said, (k, m)
            found += bool(said)
    assert found > 500
