"""Sparkplug B 3.0: the edge as an edge node, its motors as devices (https://sparkplug.eclipse.org/specification).

========== ==========================================================================
module     responsibility
========== ==========================================================================
options    the settings
payload    the payload on the wire: protobuf, encoded and (commands only) decoded
births     what was said of whom: topics, sequence numbers, metrics that changed; no I/O
bridge     a thread with a connection of its own, for its will is the node's death
========== ==========================================================================

The bridge reads the live picture as pages do: it is never waited for, and what it is too slow for is one change to it.
"""
