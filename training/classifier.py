"""The fault classifier: raw window in; a probability for every fault, and the severity, out.

Three small networks, one for each family of faults, each seeing only the features whose physics is that family's: a
hot winding can't be read as a cracked race, and a machine's colour can't be read as anything. In which band a defect
rings is an accident of the machine's structure, so the bearings' network looks at every band with the same eyes and
keeps mean and maximum of what they see (Zaheer et al., Deep Sets, NeurIPS 2017). Faults are independent
labels; each has its own estimate of severity, and the window's severity is the largest one of a fault that is thought
present.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from service.contract.faults import BEARING_FAULTS, TAUGHT, Fault
from training.envelope import BAND_NAMES, BANDS, COMBS, NEAR
from training.features import INDEX, NAMES, SHAFT_ORDERS, Features, halves_told
from training.spectrum import WIDE

CLASSES: tuple[Fault, ...] = TAUGHT
WIDTH = 64
MEMBERS = 3
"""Experts per family: their mean is surer, and better calibrated on machines unlike the training's, than one."""

BATCH = 1024
CLAMP = 5.0
"""Standardised features are cut here: beyond, more is not told from much."""

_SHAPE = [*(f"impulse_{band}" for band in BAND_NAMES), "kurtosis", "crest", "turns"]


_IN_BAND = (*(f"comb_{comb}" for comb in COMBS), *(f"near_{comb}" for comb in NEAR), "peak", "impulse")


class Family(NamedTuple):
    """Faults told apart from the same features; the first ``in_band`` of each of ``BANDS`` in turn, if any."""

    name: str
    faults: tuple[Fault, ...]
    features: tuple[str, ...]
    in_band: int = 0


FAMILIES: tuple[Family, ...] = (
    Family(
        "bearing",
        BEARING_FAULTS,
        (
            *(f"{kind}_{band}" for band in BAND_NAMES for kind in _IN_BAND),
            *(f"apart_{comb}" for comb in NEAR),
            "kurtosis",
            "crest",
            "turns",
        ),
        in_band=len(_IN_BAND),
    ),
    Family(
        "mechanical",
        (Fault.IMBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS),
        (
            *(f"order_{order:g}_{kind}" for kind in ("ratio", "velocity") for order in SHAFT_ORDERS),
            *(f"comb_shaft_{band}" for band in BAND_NAMES),
            *_SHAPE,
            "level_velocity",
            "has_order",
            "speed_pu",
            "load_pu",
            "has_load",
            "size",
        ),
    ),
    Family(
        "thermal",
        (Fault.COOLING, Fault.OVERLOAD),
        (
            "speed_pu",
            "current_pu",
            "load_pu",
            "winding_rise_pu",
            "housing_rise_pu",
            "gradient_pu",
            "winding_excess",
            "housing_excess",
            "winding_heat",
            "housing_heat",
            "resistance_ratio",
            "slip_pu",
            "has_current",
            "has_load",
            "has_winding",
            "has_housing",
        ),
    ),
)


class BandMates(nn.Module):
    """Features of every band through one small network: mean and maximum over the bands, then what has no band."""

    wide: Tensor

    def __init__(self, inputs: int, in_band: int, width: int) -> None:
        super().__init__()
        self.in_band, self.split = in_band, in_band * len(BANDS)
        self.of_band = nn.Linear(in_band, width)
        self.of_rest = nn.Linear(inputs - self.split, width, bias=False)
        self.of_width = nn.Parameter(torch.zeros(width))
        self.second = nn.Linear(width, width)
        self.register_buffer("wide", torch.tensor([[float(band.width == WIDE)] for band in BANDS]))
        self.outputs = 2 * width + inputs - self.split

    def forward(self, standardised: Tensor) -> Tensor:
        """``(B, inputs)`` to ``(B, outputs)``."""
        bands = standardised[:, : self.split].reshape(-1, len(BANDS), self.in_band)
        rest = standardised[:, self.split :]
        common = self.of_rest(rest).unsqueeze(1) + self.wide * self.of_width
        seen = torch.relu(self.second(torch.relu(self.of_band(bands) + common)))
        return torch.cat([seen.mean(dim=1), seen.amax(dim=1), rest], dim=1)


class Expert(nn.Module):
    """One small network of a family: standardised features to a logit and a severity (0..1) for each fault."""

    def __init__(self, family: Family, width: int) -> None:
        super().__init__()
        inputs, faults = len(family.features), len(family.faults)
        first: nn.Module
        if family.in_band:
            mates = BandMates(inputs, family.in_band, width)
            first, inputs = mates, mates.outputs
        else:
            first, inputs = nn.Sequential(nn.Linear(inputs, width), nn.ReLU()), width
        self.net = nn.Sequential(first, nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.1))
        self.logit = nn.Linear(width, faults)
        self.severity = nn.Linear(width, faults)

    def forward(self, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and severities ``(B, faults)``."""
        hidden = self.net(standardised)
        return self.logit(hidden), torch.sigmoid(self.severity(hidden))


class Head(nn.Module):
    """One family: the mean of a few experts that differ in nothing but their start and the rows they met."""

    columns: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, family: Family, width: int, members: int) -> None:
        super().__init__()
        self.in_band = family.in_band
        self.register_buffer("columns", torch.tensor([INDEX[name] for name in family.features]))
        self.register_buffer("mean", torch.zeros(len(family.features)))
        self.register_buffer("scale", torch.ones(len(family.features)))
        self.experts = nn.ModuleList(Expert(family, width) for _ in range(members))

    def standardise(self, features: Tensor) -> None:
        """Takes mean and deviation from training features ``(N, len(NAMES))``; bands have theirs in common."""
        mine = features[:, self.columns]
        self.mean.copy_(mine.mean(dim=0))
        deviation = mine.std(dim=0)
        if self.in_band:
            split = self.in_band * len(BANDS)
            alike = mine[:, :split].reshape(-1, self.in_band)
            self.mean[:split] = alike.mean(dim=0).repeat(len(BANDS))
            deviation[:split] = alike.std(dim=0).repeat(len(BANDS))
        self.scale.copy_(1.0 / deviation.clamp(min=0.05))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and severities (0..1), ``(B, faults of this family)`` each."""
        mine = self.prepared(features)
        answers = [expert(mine) for expert in self.experts]
        logits, severities = (torch.stack(column).mean(dim=0) for column in zip(*answers, strict=True))
        return logits, severities

    def prepared(self, features: Tensor) -> Tensor:
        """This family's features, standardised and cut, ``(B, features of this family)``."""
        return torch.clamp((features[:, self.columns] - self.mean) * self.scale, -CLAMP, CLAMP)


class Network(nn.Module):
    """What is learned: features ``(B, len(NAMES))`` to calibrated probabilities and severities in class order."""

    order: Tensor
    gain: Tensor
    bias: Tensor
    is_bearing: Tensor
    is_mechanical: Tensor
    is_looseness: Tensor
    start: Tensor
    slope: Tensor

    def __init__(self, width: int = WIDTH, members: int = MEMBERS) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(family, width, members) for family in FAMILIES)
        flat = [fault for family in FAMILIES for fault in family.faults]
        self.register_buffer("order", torch.tensor([flat.index(fault) for fault in CLASSES]))
        self.register_buffer("gain", torch.ones(len(CLASSES)))
        self.register_buffer("bias", torch.zeros(len(CLASSES)))
        mechanical = FAMILIES[1].faults
        self.register_buffer("is_looseness", torch.tensor([float(fault == Fault.LOOSENESS) for fault in CLASSES]))
        self.register_buffer("is_mechanical", torch.tensor([float(fault in mechanical) for fault in CLASSES]))
        self.register_buffer("start", torch.zeros(len(CLASSES)))
        self.register_buffer("slope", torch.ones(len(CLASSES)))
        self.register_buffer("is_bearing", torch.tensor([float(fault in BEARING_FAULTS) for fault in CLASSES]))

    def standardise(self, features: Tensor) -> None:
        """Takes every head's mean and deviation from training features."""
        for head in self.heads:
            assert isinstance(head, Head)
            head.standardise(features)

    def logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Uncalibrated logits and severities ``(B, C)``."""
        pairs = [head(features) for head in self.heads]
        logit = torch.cat([pair[0] for pair in pairs], dim=1)[:, self.order]
        return logit, torch.cat([pair[1] for pair in pairs], dim=1)[:, self.order]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Probability ``(B, C)`` and severity ``(B,)``; no fault is named without what it is told by."""
        logit, severity = self.logits(features)
        no_bearing = 1.0 - features[:, INDEX["has_bearing"]].unsqueeze(1)
        no_order = 1.0 - features[:, INDEX["has_order"]].unsqueeze(1)
        told = (1.0 - self.is_bearing * no_bearing) * (1.0 - self.is_mechanical * no_order)
        told = told * (1.0 - self.is_looseness * (1.0 - halves_told(features)))
        probability = torch.sigmoid(logit * self.gain + self.bias) * told
        present = torch.clamp(4.0 * probability - 2.0, 0.0, 1.0)
        grown = torch.clamp((severity - self.start) * self.slope, 0.02, 1.0)
        return probability, (grown * present).amax(dim=1)


class Classifier(nn.Module):
    """The graph: raw window in, ``probability (B, C)`` and ``severity (B,)`` out."""

    def __init__(self, features: Features, network: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.network = network

    def forward(
        self, accel_m_s2: Tensor, samples: Tensor, fs_hz: Tensor, operating: Tensor, nameplate: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Inputs as in ``service.contract.manifest``."""
        probability, severity = self.network(self.features(accel_m_s2, samples, fs_hz, operating, nameplate))
        return probability, severity


def fit(
    features: Tensor,
    severity: Tensor,
    *,
    epochs: int,
    generator: torch.Generator,
    width: int = WIDTH,
    members: int = MEMBERS,
) -> Network:
    """A network fitted to features ``(N, len(NAMES))`` and true severities ``(N, C)`` in 0..1.

    A fault counts as present from the first trace of it, yet a faint one weighs little: what cannot be seen in the
    signal should not move the network. Absence always weighs fully.
    """
    network = Network(width, members)
    network.standardise(features)
    network.train()
    for head, family in zip(network.heads, FAMILIES, strict=True):
        assert isinstance(head, Head)
        columns = [CLASSES.index(fault) for fault in family.faults]
        with torch.no_grad():
            mine, truth = head.prepared(features), severity[:, columns]
        for expert in head.experts:
            assert isinstance(expert, Expert)
            _fit(expert, mine, truth, epochs, generator)
    return network.eval()


def _fit(expert: Expert, features: Tensor, severity: Tensor, epochs: int, generator: torch.Generator) -> None:
    steps = max(1, epochs * (len(features) // BATCH))
    optimiser = torch.optim.AdamW(expert.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    present = (severity > 0.0).float()
    weight = torch.where(present > 0.0, torch.clamp(severity / 0.3, 0.02, 1.0), torch.ones_like(severity))
    for _ in range(steps):
        rows = torch.randint(len(features), (BATCH,), generator=generator)
        logit, estimate = expert(features[rows])
        label = present[rows]
        named = nn.functional.binary_cross_entropy_with_logits(logit, label * 0.99 + 0.005, weight=weight[rows])
        grown = ((estimate - severity[rows]).square() * (0.15 + 4.0 * label)).mean()
        optimiser.zero_grad()
        torch.autograd.backward(named + grown)
        optimiser.step()
        schedule.step()


def calibrate(network: Network, features: Tensor, severity: Tensor) -> None:
    """Platt scaling per class on held-out motors: ``p = sigmoid(gain logit + bias)`` (Platt 1999), in place.

    Rows with a faint fault (severity under 0.2) are left out, as in them presence is a matter of definition.
    """
    with torch.no_grad():
        logit, estimate = network.logits(features)
    for column in range(logit.shape[1]):
        truth = severity[:, column]
        rows = (truth == 0.0) | (truth >= 0.2)
        label = (truth[rows] > 0.0).float()
        if label.sum() < 10 or (1.0 - label).sum() < 10:
            continue
        gain, bias = _platt(logit[rows, column], label)
        network.gain[column], network.bias[column] = gain, bias
        _unshrink(network, column, estimate[:, column], truth)


def _platt(logit: Tensor, label: Tensor) -> tuple[float, float]:
    """Gain and bias that make logits probabilities; Newton's steps on the logistic likelihood, in float64."""
    x = torch.stack([logit.double(), torch.ones_like(logit, dtype=torch.float64)], dim=1)
    y, w = label.double(), torch.tensor([1.0, 0.0], dtype=torch.float64)
    ridge = 1e-3 * torch.eye(2, dtype=torch.float64)
    for _ in range(25):
        p = torch.sigmoid(x @ w)
        curvature = x.T @ (x * (p * (1.0 - p)).unsqueeze(1)) + ridge
        w = w + torch.linalg.solve(curvature, x.T @ (y - p))
        w = torch.stack([w[0].clamp(0.2, 3.0), w[1].clamp(-5.0, 5.0)])
    return w[0].item(), w[1].item()


def _unshrink(network: Network, column: int, estimate: Tensor, truth: Tensor) -> None:
    """A regression under noise is drawn to the middle: its mean at each true severity is straightened, in place.

    The health filter averages noise away and would keep a bias. The slope is bounded, as it amplifies the noise.
    """
    rows = truth >= 0.2
    x, y = truth[rows], estimate[rows]
    slope = ((x - x.mean()) * (y - y.mean())).mean() / (x - x.mean()).square().mean().clamp(min=1e-6)
    slope = slope.clamp(0.6, 1.2)
    network.slope[column] = 1.0 / slope.item()
    network.start[column] = (y.mean() - slope * x.mean()).item()


assert {name for family in FAMILIES for name in family.features} <= set(NAMES)
