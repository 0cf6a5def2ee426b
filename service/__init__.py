"""The edge: listens to motors over MQTT, runs three ONNX models locally, and says what it hears.

========== =====================================================================================
module     responsibility
========== =====================================================================================
contract   the leaf shared with the twin and the training: topics, messages, signals, faults, manifest
graph      the only importer of onnxruntime: load, check, run(dict) -> dict
window     readings -> model rows; duplicates, late readings, implausible scalars, unfit sampling
evidence   several windows of one machine as one answer
drivers    what drives an anomaly score, as shares
monitor    the sans-I/O core: (state, readings) -> (state', messages)
senses     sensors that send and say nothing: left out, as if they were missing
drift      whether a signal's level has left the motor's own past, or never resembled the training's machines
innovation whether a temperature leaves what the health filter expects of it
terms      what a manifest says to every step alike
alarm      thresholds, hysteresis, latching; pure arrays
bundle     verify a bundle and prove it on this machine before anyone trusts it
signature  who vouches for a bundle: Ed25519 over its manifest, against pinned keys
gate       what the training's gate said of a bundle, for people
clock      how much time passed for the filter, when clocks lie
steady     the edge's clock that nobody sets
swap       the rules by which one bundle follows another; pure
rollout    brings new bundles into use, in a thread of its own; owns which one runs
offers     bundles that are offered (watched folder, by name), verified
incoming   which folders have come to rest
candidate  a bundle in a process of its own (``trial`` is that process)
shadow     a candidate and the running bundle over the same readings
tap        what the worker lets the rollout see of its batches
ledger     what was decided about bundles, and the bundle that was accepted
chronicle  what was asked for, what became of it, which bundles ran before
retreat    going back by hand to a bundle that ran before
opening    which bundle the service starts with
watchdog   gives the process up when judging a batch takes too long
flight     which readings were being judged when the service died
supervisor a parent that starts the service again, where nobody else does
mqtt       the only importer of the MQTT client
wire       what passes between the broker's thread and the rest
inbox      what has arrived: bounded, held back in a burst, newest first in an overload
worker     one turn after another: take, step, publish, save, acknowledge
group      what one commit holds: steps share the wait for the disk
commits    one group after another into the store, beside the turns; then what waited for it may leave
quarantine a step that raises is halved until the reading that does it stands alone
memory     all that a restart must find again
registry   who is known: births and the settings' motors
presence   whether a motor's sensor is heard
outbox     alerts on their way out, each until the broker has acknowledged it
homeassistant discovery messages for Home Assistant
cloudevent alerts as CloudEvents
voice      health, availability and rejections as they are published
rejections which refusals are described, which only counted
store      what must survive a power cut (SQLite, WAL)
journal    the store, tried until it works
sparkplug  the edge as a Sparkplug B edge node, its motors as devices
notices    alerts to people: webhooks, e-mail; queues and threads of their own
historian  samples, alerts and notes, kept for later (a thread and a file of its own)
archive    the historian's file: written, thinned, exported
outlook    remaining life in words
vibration  windows as people look at them: RMS values, spectra, the last one of each motor
money      what stops cost, from alerts and notes
live       what pages and programs see
api        FastAPI: live/ready, motors, alerts, metrics, live stream, Open Inference Protocol, the web page
console    ``motor``, the edge at the terminal: the API's client
metrics    every Prometheus metric (``tally``: a histogram that is told a batch at once)
table      what the tables of the settings are made of
settings   TOML and environment -> typed settings
report     a motor or the fleet on paper, for the shift book
reference  every setting as a page, from the types
errors     errors without transport vocabulary
runtime    threads and their owner; live and ready
process    one thread for linear algebra, garbage collection out of the way, who has time lets readings pass
__main__   wires it together; self-test; health check
========== =====================================================================================

Units: SI inside, converted once at the boundary; every name at a boundary carries its unit as a suffix
(``speed_rpm``, ``housing_c``, ``fs_hz``, ``accel_m_s2``, ``rul_h``). Times are Unix seconds (``ts_s``).
"""
