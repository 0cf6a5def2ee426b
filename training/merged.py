"""Anomaly detector and classifier as one graph: the spectrum, half of what a reading costs, is taken once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from training.anomaly import Anomaly
    from training.classifier import Classifier


class Vibration(nn.Module):
    """The graph: raw window in, what ``anomaly`` and ``classifier`` answer out, in their order."""

    def __init__(self, anomaly: Anomaly, classifier: Classifier) -> None:
        super().__init__()
        self.features = classifier.features
        self.autoencoder = anomaly.autoencoder
        self.network = classifier.network

    def forward(
        self, accel_m_s2: Tensor, samples: Tensor, fs_hz: Tensor, operating: Tensor, nameplate: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs as in ``service.contract.manifest``."""
        features = self.features(accel_m_s2, samples, fs_hz, operating, nameplate)
        return (*self.autoencoder(features), *self.network(features))
