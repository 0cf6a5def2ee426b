"""Public recordings of real machines, in their publishers' formats, read from ``MOTOR_DATA``.

======== =======================================================================================
module   responsibility
======== =======================================================================================
source   where the data lie: a folder, or the archive in it; what is absent is named
cwru     Case Western bearings: labelled recordings at 12 kHz, grouped by the bearing they show
femto    PRONOSTIA bearings run to failure
skab     Skoltech test bed: motor and pump, labelled anomalies
nab      machine temperature with four labelled windows
turbofan C-MAPSS FD001: engines run to failure
milling  AI4I 2020: a table of independent rows
pins     what ``python -m training fetch`` downloads: addresses and sha256 of the originals
======== =======================================================================================

Acceleration in m/s^2, speed in 1/min, time in s, temperatures as published.
"""
