"""The device's half of a release: follows its wave's tag in a registry and hands what it may trust to the edge.

========= ==========================================================================================================
module    responsibility
========= ==========================================================================================================
release   ``release.json``: signature, project, schema, expiry, sequence
registry  files of an image by digest over HTTP: bounded in bytes and time, every digest checked
journal   what is current, desired and refused: written whole, synced, renamed
edge      the running service: its folder for new bundles, and what it says became of one
agent     one step: look, judge, let the lane bring it; converges from any step after a crash
models    the lane of models: hand over, wait for what becomes of it
patience  how long to leave alone what came damaged
report    states to a retained topic and to /metrics
settings  from the environment
========= ==========================================================================================================

It pulls and is never called; ``motortwin/v1/edge/NODE/desired`` is a hint to look now, and says nothing else that
counts. Models go through the edge's own hot swap: it tries, shadows, soaks and takes back by itself, so the worst that
a bad release can do here is to be remembered as failed. A release of the lane ``images`` is answered ``failed`` with
its reason: recreating containers is the engine's owner's business (``deploy/README.md``, upgrade).

States: ``pending`` (seen and trusted), ``installing`` (handed to the edge), then ``installed``, ``failed`` or
``rolled_back``. A release that failed is not tried again.
"""
