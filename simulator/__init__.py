"""The motor twin: physics that knows the truth about the signals it makes.

============ =====================================================================================
module       responsibility
============ =====================================================================================
parameter    physics declared as data: unit, default, limits, spread and source of every parameter
catalogue    motors by power, poles and supply; usual bearings
circuit      induction motor: nameplate -> equivalent circuit -> slip, current, losses
electrical   unbalance, lost phase, starting, drive ramps, broken bars: currents and speed in time
thermal      winding and housing temperatures, exact
bearing      impact trains of bearing defects: slip, load zone, spalls
vibration    structure, lines and noise of a machine
path         from force to acceleration at the sensor, modal or identified, in batches
driven       gear mesh, cavitation and uneven pull of the driven machine
iso20816     velocity RMS and zones, as an engineer reads them
faults/      one file per fault: how severity changes the physics
degradation  how severity grows from onset to failure
life         Weibull life, hazard, and how stress shortens it
plant        a plant as discrete events: failures, crews, spares, cost
sensor       range, noise, resolution, missing values
impairment   failing sensors, wandering clocks, lost and doubled messages
population   batches of machines, drawn or built from plates
excitation   what shakes a batch of machines in one state
twin         the physics step by step for a batch
unsteady     bad mains, stops, starts, load steps and ramps on a scenario's clock
sweep        a window while the speed changes
duty         loads and ambient over time
scenario     which motors, which faults when: TOML, checked key by key
limits       the range that a key declares, for its error
fleet        a scenario in motion: births, readings, truth; no I/O
motor        one motor for a notebook
dataset      labelled windows and histories for training
parquet      arrays as a table
publish      the MQTT shell
spectrum     spectra and indicators of a window
plot         pictures: waveform, spectra, trend
resemblance  features, and a classifier that tries to tell twin from real
preset       one real rig as identified, kept apart from the defaults
identify     recordings of a seeded defect -> a specimen of a preset
validate     the twin against real recordings of seeded defects
wear         the twin's wear against bearings run to failure
report       both as a page
console/     one file per command of ``python -m simulator``
recording    readers of published recordings of real machines
unit         units of acceleration in files
suspicion    what speaks against a recording: another unit, a dead channel, too low a rate
replay       recordings as the same messages, at a rate the bundle takes
playback     recordings into MQTT
verdict      alerts against the truth
demo, table  twin, service and broker in one terminal
============ =====================================================================================

Units: SI inside, unless a name carries its unit (``housing_c``, ``speed_rpm``, ``fs_hz``, ``rul_h``). Severity is 0 (as
new) to 1 (functional failure). Randomness comes from generators that the caller passes; nothing draws from a global
one.
"""

from simulator.motor import Motor

__all__ = ["Motor"]
