"""The device's half of a release: follows its wave's tag in a registry and hands what it may trust to the edge.

========= ==========================================================================================================
module    responsibility
========= ==========================================================================================================
release   ``release.json``: signature, project, schema, expiry, sequence
content   images by digest: what a source of them is, bounds, checks
registry  such a source, over HTTP
layout    such a source, in one file on a stick
journal   what is current, desired and refused: written whole, synced, renamed
patience  how long to leave alone what came damaged
agent     one step: look, judge, let the lane bring it; converges from any step after a crash
models    the lane of models: hand over, wait for what becomes of it
edge      the running service: its folder for new bundles, what it says became of one, readiness, counters
images    the lane of images: a new container beside the old one's settings, soak, and back
spool     an image on its way from its source to the engine
engine    the container engine; the only module that knows it
soak      whether the new container does as well as the old one; pure
report    states to a retained topic and to /metrics
settings  from the environment
========= ==========================================================================================================

It pulls and is never called; ``motortwin/v1/edge/NODE/desired`` is a hint to look now, and says nothing else that
counts. It imports nothing of the edge: they meet over HTTP and in the edge's data folder.

Models go through the edge's own hot swap: it tries, shadows, soaks and takes back by itself. Images need the engine's
socket; without it a release of the lane ``images`` waits, ``failed`` with that reason.

States: ``pending`` (seen and trusted), ``installing`` (handed to the edge, or its container replaced), then
``installed``, ``failed`` or ``rolled_back``. A release that failed is not tried again.
"""
