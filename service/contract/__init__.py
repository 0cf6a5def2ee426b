"""The leaf that the edge, the twin and the training share. No I/O, imports nothing of ours.

========= ====================================================================================
module    responsibility
========= ====================================================================================
faults    the fault vocabulary: one word per fault, everywhere
signals   scalar signals and nameplate columns: order, units, plausible ranges
bearing   rolling bearing geometry, characteristic orders, catalogue
topics    every MQTT topic, built and parsed in one place
messages  every MQTT payload
codec     reading and birth payloads to and from JSON and CBOR; what is refused and why
manifest  the model bundle's manifest: graphs, shapes, thresholds, initial filter state
asyncapi  the AsyncAPI 3 document, generated from topics and messages
========= ====================================================================================
"""
