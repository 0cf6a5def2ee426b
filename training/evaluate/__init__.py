"""Honest figures: every protocol splits by machine, bearing or unit before anything is fitted.

=========== ================================================================================================
module      responsibility
=========== ================================================================================================
figure      figures with intervals and targets, tables, plots, sections
interval    95 % intervals: over seeds, over whole bearings, for shares and counts
edge        recordings through the edge's own core
transfer    CWRU, from the twin alone to a real machine
sizes       CWRU, leave one fault size out, beside the leaky random split
reliability whether probabilities are what they say; inputs like none that was learnt
odd         inputs like no machine, as recordings
wear        FEMTO, detection and remaining life of bearings run to failure
testbed     SKAB, anomalies of a motor and pump from their own fault-free head
temperature NAB, alarms before the failure of a machine
turbofan    C-MAPSS FD001, remaining life with intervals
milling     AI4I, failures from independent rows
fleet       twin: false alarms per machine-day, recall, lead, coverage of the remaining life's interval
consistency NEES and NIS of the health filter over Monte-Carlo runs, and of a biased one
oracle      the health filter in float64 numpy, written from its equations
timing      the health graph against the oracle over many steps, and its time beside filterpy's
rootcause   which sensor or band an anomaly is blamed on
report      evaluation.json and index.html
run         ``make evaluate``: all of it, or ``--only`` some sections
=========== ================================================================================================

Scores are free of thresholds where they can be; point-adjusted scores do not appear.
"""
