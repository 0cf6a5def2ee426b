"""Machines: everything that makes one motor itself, drawn from the declared spreads or built for given plates.

A ``Machines`` is a batch of motors as arrays. One motor is a batch of one, a data set a batch of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from service.contract.bearing import CATALOGUE, BearingGeometry
from service.contract.faults import TAUGHT
from service.contract.messages import Nameplate
from simulator import catalogue
from simulator.bearing import Contact
from simulator.circuit import Circuit, Rating
from simulator.faults import EFFECTS, Effect
from simulator.parameter import Values, draw, take
from simulator.sensor import Sensors
from simulator.thermal import Body, Thermal
from simulator.vibration import NOISE_RIPPLES, PHASES, Background, Residue, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.contract.faults import Fault

SAMPLING_HZ = (10_000.0, 12_000.0, 12_800.0, 16_000.0, 20_000.0, 24_000.0, 25_600.0, 26_000.0)
"""Sampling rates of common accelerometer front ends within the contract's range."""


@dataclass(frozen=True, slots=True)
class Machines:
    """A batch of ``n`` motors with their bearings, structures and sensors."""

    rating: Rating
    circuit: Circuit
    body: Body
    thermal: Thermal
    orders: Values  # (n, 4): FTF, BSF, BPFO, BPFI
    contact: Contact
    structure: Structure
    background: Background
    ripples: Values  # (n, NOISE_RIPPLES)
    residue: Residue
    phases: Values  # (n, PHASES), turns
    sensors: Sensors
    effects: dict[Fault, Effect]

    def __len__(self) -> int:
        return len(self.orders)

    @property
    def thermal_tau_s(self) -> Values:
        """Slowest thermal time constant at rated load, s, ``(n,)``."""
        return self.thermal.tau_s(self.circuit.operate(1.0).stator_copper_w)

    def along_other_axes(self, rng: np.random.Generator, axes: int) -> Machines:
        """These rows as ``axes`` consecutive directions of each machine: all but the first get a path of their own."""
        other = np.arange(len(self)) % axes > 0
        drawn = Structure.drawn(rng, self.sensors.fs_hz)
        pick = {
            f.name: np.where(other[:, None], getattr(drawn, f.name), getattr(self.structure, f.name))
            for f in fields(Structure)
        }
        return replace(self, structure=Structure(**pick))

    def nameplates(self) -> NDArray[np.float32]:
        """What the births say, ``(n, 9)`` in ``signals.NAMEPLATE`` order."""
        columns = [
            self.rating.speed_rpm,
            self.rating.current_a,
            self.body.winding_rise_k,
            self.body.winding_rise_k * self.body.housing_share,
            self.thermal_tau_s,
            *self.orders.T,
        ]
        return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float32)

    def nameplate(self, index: int) -> Nameplate:
        """The contract's nameplate of one machine."""
        one = take(self, [index])
        _, current_a, winding_rise_k, housing_rise_k, tau_s = (float(v) for v in one.nameplates()[0, :5])
        return Nameplate(
            rated_power_w=float(one.rating.power_w[0]),
            rated_speed_rpm=float(one.rating.speed_rpm[0]),
            rated_current_a=current_a,
            supply_hz=float(one.rating.supply_hz[0]),
            poles=int(one.rating.poles[0]),
            winding_rise_k=winding_rise_k,
            housing_rise_k=housing_rise_k,
            thermal_tau_s=tau_s,
        )


def assemble(
    rng: np.random.Generator, rating: Rating, orders: Values, fs_hz: Values, body: Body | None = None
) -> Machines:
    """Motors with given ratings ``(n,)``, bearing orders ``(n, 4)`` and sampling rates; all else is drawn."""
    n = len(orders)
    # Faults outside the data sets draw from a stream beside this one, which they leave as it is.
    beside = rng.spawn(1)[0]
    circuit = Circuit.of(rating)
    body = body or draw(Body, rng, n)
    rated = circuit.operate(1.0)
    return Machines(
        rating=rating,
        circuit=circuit,
        body=body,
        thermal=Thermal.of(body, rating.power_w, rated.stator_copper_w, rated.loss_w - rated.stator_copper_w),
        orders=orders,
        contact=draw(Contact, rng, n),
        structure=Structure.drawn(rng, fs_hz),
        background=draw(Background, rng, n),
        ripples=rng.standard_normal((n, NOISE_RIPPLES)),
        residue=draw(Residue, rng, n),
        phases=rng.random((n, PHASES)),
        sensors=draw(Sensors, rng, n, fs_hz=fs_hz),
        effects={fault: draw(kind, rng if fault in TAUGHT else beside, n) for fault, kind in EFFECTS.items()},
    )


def population(rng: np.random.Generator, count: int) -> Machines:
    """Motors of the catalogue and around it: 0.5-75 kW, 2, 4 or 6 poles, 50 or 60 Hz, any plausible bearing."""
    power_w = 1000.0 * np.exp(rng.uniform(np.log(0.55), np.log(75.0), count))
    poles = rng.choice(catalogue.POLES, count, p=(0.3, 0.5, 0.2)).astype(np.float64)
    supply_hz = rng.choice((50.0, 60.0), count)
    # No motor above 3600 1/min is left out, none below 900 comes in: 6 poles at 50 Hz turn with 930-990.
    typical = catalogue.rating(power_w, poles, supply_hz)
    slip = typical.slip * rng.uniform(0.6, 1.15, count)
    losses = (1.0 / typical.efficiency - 1.0) * rng.uniform(0.85, 1.3, count)
    spread = draw(Rating, rng, count, power_w=power_w)
    rating = replace(
        typical,
        speed_rpm=typical.synchronous_rpm * (1.0 - slip),
        efficiency=1.0 / (1.0 + losses),
        power_factor=typical.power_factor * rng.uniform(0.94, 1.03, count),
        iron_share=spread.iron_share,
        friction_share=spread.friction_share,
    )
    rating = catalogue.with_breakdown(rating, spread.breakdown_ratio)
    fs_hz = np.where(rng.random(count) < 0.65, rng.choice(SAMPLING_HZ, count), rng.uniform(10_000.0, 26_000.0, count))
    return assemble(rng, rating, random_orders(rng, count), fs_hz)


def built(
    rng: np.random.Generator,
    ratings: Sequence[Rating],
    bearings: Sequence[BearingGeometry],
    fs_hz: Values,
    plates: Sequence[Nameplate | None] | None = None,
) -> Machines:
    """Motors with these ratings and bearings, one each; structure, noise and habits are drawn.

    Where a contract nameplate is given, the motor heats up as it says.
    """
    n = len(ratings)
    orders = np.array([bearing.orders() for bearing in bearings])
    columns = {f.name: np.array([float(getattr(rating, f.name)) for rating in ratings]) for f in fields(Rating)}
    body = draw(Body, rng, n)
    for row, plate in enumerate(plates or ()):
        if plate is not None:
            body.winding_rise_k[row] = plate.winding_rise_k
            body.housing_share[row] = plate.housing_rise_k / plate.winding_rise_k
    return assemble(rng, Rating(**columns), orders, fs_hz, replace(body))


def random_orders(rng: np.random.Generator, count: int) -> Values:
    """Characteristic orders ``(n, 4)``: 40 % from the catalogue, the rest plausible geometries.

    Ball to pitch diameter 0.17-0.30 and 6-16 elements that fill 55-85 % of the pitch circle cover deep-groove,
    angular-contact (up to 40 degrees) and cylindrical roller bearings of this size.
    """
    known = np.array([geometry.orders() for geometry in CATALOGUE.values()])
    ratio = rng.uniform(0.13, 0.30, count)
    filled = rng.uniform(0.58, 0.88, count)
    elements = np.clip(np.rint(filled * np.pi / ratio), 6, 18)
    contact = np.where(rng.random(count) < 0.25, rng.uniform(15.0, 40.0, count), 0.0)
    cosine = ratio * np.cos(np.radians(contact))
    ftf = 0.5 * (1.0 - cosine)
    made = np.stack([ftf, (1.0 - cosine**2) / (2.0 * ratio), elements * ftf, elements * (1.0 - ftf)], axis=1)
    return np.where((rng.random(count) < 0.4)[:, None], known[rng.integers(0, len(known), count)], made)
