"""Candidate against champion on a frozen replay set: a bundle that got worse anywhere is refused.

========= ========================================================================================================
module    responsibility
========= ========================================================================================================
run       the order of things: what is cheap and certain first, the replay last; progress; the verdict
check     one question with a limit: loads, agrees with torch, fits, is quick, can be made again
limit     what no bundle may fall short of, whatever the champion does
slice     one figure of both bundles, paired by motor or recording, with the interval of its change
windows   twin windows that no training draws: recall and false naming by fault, anomaly, severity
fleet     motors that live through the edge's own core: missed detections, false alarms, lead, life's interval
recording real recordings, where ``MOTOR_DATA`` has them
graphs    what the edge runs of a bundle, and the golden vectors of each
cost      size, and in processes of their own latency and memory (``probe`` is what runs there)
origin    the candidate trained again by what its manifest says: the same digest, and torch beside ONNX
report    ``gate.json`` and ``gate.md``
command   ``python -m training gate CANDIDATE CHAMPION``: exit status 0 passed, 1 refused, 2 could not be judged
========= ========================================================================================================

A slice is refused if its change lies wholly on the worse side of zero (paired bootstrap over whole motors, 95 % for all
slices together, after Bonferroni), if the change itself exceeds the slice's margin, however uncertain, or if the
candidate's own figure breaks the slice's limit. Both bundles
see the same bytes, so nothing that is common to them enters an interval.

Whole motors are drawn, never windows: windows of one motor are no independent evidence. Nothing here chooses a bundle's
numbers; a seed that only the gate draws stays unseen by training, and a bundle that was trained on it is refused.
"""
