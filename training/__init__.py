"""Where the models are made. torch lives here and only here.

============ =====================================================================================================
module       responsibility
============ =====================================================================================================
spectrum     taper, factored FFT, squared-envelope spectrum: torch modules that end up in graphs
envelope     bearing signatures: lines of the squared-envelope spectra of six bands
features     shaft and bearing orders, impulsiveness, levels, heat: features of a window, part of the graphs; of it
condition    operating point and nameplate: what is known of it, shaft speed, per-unit values, heat
anomaly      autoencoder on healthy machines, calibrated score, contribution by group
classifier   probability and severity of every fault, by family of faults; calibration
fused        its fitted networks as the graph holds them: the same weights in stacks, few nodes
merged       both of them as one graph, for the edge
heat         what heat a load should make: shared by features and filter
health       the extended Kalman filter's step: temperatures, cooling, damage, remaining life; of it
tuning         all its numbers
rows           stacks of named rows and the linear maps between them, so that the graph has few nodes
drive          what it is told, held in range
thermal        the two-node network over any time, and its derivative
moments        mean and covariance: prediction, measurements
passage        remaining life as a first passage
disturbance  what other people's machines have in their signal and the twin's have not
data         windows of the twin, made rougher than the twin makes them, split by motor
shards       chunks of training data on disk: kept as they are made, believed by their digest
train        the steps: prepare -> fit, calibrate, report on motors never seen -> export -> bundle
stage        what stands between the steps, in their working folder
export       torch module -> ONNX bytes that carry no trace of the machine they were made on
sketch       the healthy machines' inputs in few numbers, for the manifest: what the edge judges drift by
card         the model card: what a bundle was made from, what it is for, where it fails
bundle       graphs, manifest and golden vectors, proven by the edge's own loader before they replace anything
atomic       files and folders that are there whole or not at all
progress     a bar where a person watches
history      an edge's history.db as Parquet
commission   the shipped models fitted to a plant's own healthy running
evt          thresholds for rates that were hardly ever seen
rescale      a bundle whose anomaly score is weighed anew, group by group
stream       a recording as the readings that an edge would have had
score        a recording through the shipped bundle and the edge's own core
console      the command line; arguments from a file or from the terminal
corpora      public data sets in their publishers' formats, from a folder or an archive
fetch        brings them from the publishers, pinned by sha256
evaluate     honest figures, by protocol, with intervals and controls
gan          rare failures, made and judged
gate         candidate against champion on a frozen replay set: refused where it got worse
============ =====================================================================================================

Units as in ``service.contract``: SI inside, suffixes at every boundary; severities, probabilities and health are 0..1.
"""
