"""The twin's speed, beside public motor simulators in an environment of their own.

The peers integrate a motor's states with a small fixed step; the twin solves its steady electrical point and its
thermal network in closed form from reading to reading. Both end with what a plant would log, one value a minute for
the twin, so the ratio says what simulating a motor's operation costs, not how fast a waveform is made. Like for like
is ``twin.transient_vs_peer``: a start, which the twin integrates too. Windows with waveforms are counted apart. Rates
of one core are per second of its own time, so that neighbours do not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import catalogue, electrical
from simulator.circuit import Circuit
from simulator.dataset import histories, windows

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = ("progpy==1.9.0", "gym-electric-motor==3.0.3")
ENVIRONMENT = Path("build/peers")
SAMPLES = 2048
COUNT = 3072
MOTORS = 64
HOURS = 50.0
STEP_H = 1.0 / 60.0
INSTALL_TIMEOUT_S = 900.0
PEER_TIMEOUT_S = 120.0

PEER_PROGRAM = r"""
import json, time, warnings
warnings.filterwarnings("ignore")
rates = {}

def progpy():
    from progpy.models.dcmotor_singlephase import DCMotorSP
    motor = DCMotorSP()
    inputs = motor.InputContainer({"v": 24.0, "t_l": 0.05})
    def run(seconds):
        # 1 ms is the largest step at which its states stay finite.
        motor.simulate_to(seconds, lambda t, x=None: inputs, dt=1e-3, save_freq=seconds)
    return run

def gym_electric_motor():
    import gym_electric_motor as gem
    env = gem.make("Cont-SC-SCIM-v0")
    env.reset()
    action = env.action_space.sample() * 0.0
    tau_s = env.unwrapped.physical_system.tau
    def run(seconds):
        for _ in range(int(seconds / tau_s)):
            if env.step(action)[2]:
                env.reset()
    return run

for name, make, seconds in (("progpy", progpy, 5.0), ("gym_electric_motor", gym_electric_motor, 0.2)):
    try:
        run = make()
        run(0.01)
        started = time.process_time()
        run(seconds)
        rates[name] = seconds / (time.process_time() - started)
    except Exception as error:
        rates[name] = f"{type(error).__name__}: {error}"
print(json.dumps(rates))
"""


def figures() -> dict[str, float]:
    """Flat figures; those of a peer that cannot be installed are left out and said so on standard error."""
    one, two = (windows_per_s(workers) for workers in (1, 2))
    seconds = realtime_factor()
    found = {
        "twin.windows_per_s": one,
        "twin.windows_per_s.two_workers": two,
        "twin.realtime_factor": seconds,
        "twin.motor_hours_per_s": seconds / 3600.0,
        "twin.transient_realtime_factor": transient_factor(),
    }
    rates = peers()
    found |= {f"twin.peer_realtime_factor.{name}": rate for name, rate in rates.items()}
    if rates:
        found["twin.vs_peer"] = seconds / max(rates.values())
        found["twin.transient_vs_peer"] = found["twin.transient_realtime_factor"] / max(rates.values())
    return found


def windows_per_s(workers: int) -> float:
    """Labelled windows of 2,048 samples a second; with more workers their start is taken out."""
    windows(64, seed=1, samples=SAMPLES)
    if workers == 1:
        return COUNT / _best(lambda: windows(COUNT, seed=2, samples=SAMPLES), 3, time.process_time)
    # Two sizes, so that what it takes to start the processes cancels.
    small, large = (
        _best(lambda count=count: windows(count, seed=2, samples=SAMPLES, workers=workers), 2)
        for count in (COUNT, 4 * COUNT)
    )
    return 3 * COUNT / max(large - small, 1e-9)


def realtime_factor() -> float:
    """Motor-seconds simulated a second, without waveforms, a reading a minute."""
    return (
        MOTORS
        * HOURS
        * 3600.0
        / _best(lambda: histories(MOTORS, seed=3, hours=HOURS, step_h=STEP_H), 3, time.process_time)
    )


def transient_factor() -> float:
    """Seconds of a start that is integrated in steps of 1 ms, as the peers integrate, a second."""
    circuit, seconds = Circuit.of(catalogue.named("7.5kW-4p-50Hz")), 5.0
    return seconds / _best(
        lambda: electrical.course(circuit, 0.3, lambda _, __: 20.0, seconds=seconds, step_s=1e-3), 3, time.process_time
    )


def _best(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    taken = []
    for _ in range(repeats):
        started = clock()
        work()
        taken.append(clock() - started)
    return min(taken)


def peers() -> dict[str, float]:
    """Motor-seconds a second of each peer that installs and runs."""
    python = ENVIRONMENT / "bin" / "python"
    marker = ENVIRONMENT / ".complete"
    try:
        if not marker.is_file():
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True, timeout=INSTALL_TIMEOUT_S
            )
            install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS]
            subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S)
            marker.touch()
        run = subprocess.run(
            [python, "-c", PEER_PROGRAM], check=True, timeout=PEER_TIMEOUT_S, capture_output=True, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"bench: no peers to compare with: {error}\n")
        return {}
    rates = json.loads(run.stdout.splitlines()[-1])
    for name, rate in rates.items():
        if isinstance(rate, str):
            sys.stderr.write(f"bench: {name} does not run: {rate}\n")
    return {name: rate for name, rate in rates.items() if not isinstance(rate, str)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(), indent=2) + "\n")
