"""The edge: listens to motors over MQTT, runs three ONNX models locally, and says what it hears.

========== =====================================================================================
module     responsibility
========== =====================================================================================
contract   the leaf shared with the twin and the training: topics, messages, signals, faults, manifest
graph      the only importer of onnxruntime: load, check, run(dict) -> dict
window     readings -> model rows; duplicates, late readings, implausible scalars, unfit sampling
monitor    the sans-I/O core: (state, readings) -> (state', messages)
alarm      thresholds, hysteresis, latching; pure arrays
bundle     verify a bundle and prove it on this machine before anyone trusts it
mqtt       the only importer of the MQTT client
store      what must survive a power cut (SQLite, WAL)
api        FastAPI: live/ready, motors, alerts, metrics, live stream, the web page
metrics    every Prometheus metric
settings   TOML and environment -> typed settings
errors     errors without transport vocabulary
runtime    queues, threads and their owner: the shell around the core
__main__   wires it together; self-test; health check
========== =====================================================================================

Units: SI inside, converted once at the boundary; every name at a boundary carries its unit as a suffix
(``speed_rpm``, ``housing_c``, ``fs_hz``, ``accel_m_s2``, ``rul_h``). Times are Unix seconds (``ts_s``).
"""
