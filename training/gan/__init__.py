"""Rare failures, made and judged: generators, their rivals, and whether any of them helps.

Data:
    ``windows`` (windows, scaler, split), ``envelope`` (vibration to motor windows), ``bearing`` (CWRU and the twin of
    its motor), ``turbofan`` (C-MAPSS FD001 and its damage law), ``milling`` (AI4I 2020)
Generators:
    ``generator`` (what all are), ``recurrent`` (GAN, and the refiner of twin windows), ``timegan``, ``diffusion``,
    ``cell`` (statistics of single machines, taken out before learning), ``fitting`` (training, sampling), ``artefact``
    and ``export`` (disk, ONNX)
Rivals:
    ``rival`` (jitter, SMOTE, oversampling)
Judging:
    ``describe``, ``similarity``, ``metric`` (is it like the real thing?), ``classifier``, ``score``, ``downstream``
    (does it help?), ``tabular`` (AI4I), ``choice`` (what to use, if anything)
Reporting:
    ``campaign`` (all runs, resumable), ``gallery`` (pictures), ``findings`` (what came out), ``page`` (HTML),
    ``command`` (command line)

Split first, by machine; scaler, generators and classifiers are fitted on training windows only. Motor windows
are log10 of RMS relative to healthy and of order-spectrum lines, both without unit; turbofan windows are in the units
of the data.
"""
