"""The classifier's experts as the graph holds them: the same weights in stacks, one product for many experts.

A graph over a few readings costs what its nodes cost to call, hardly what they compute. Experts are fitted one by one
(``training.classifier``); what they learnt is stacked here for the export, ``(experts, inputs, outputs)``, with biases
as one more input that is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from service.contract.faults import BEARING_FAULTS, Fault
from training.classifier import CLAMP, CLASSES, FAMILIES, BandMates, Expert, Head
from training.envelope import BANDS
from training.features import INDEX, halves_told
from training.spectrum import WIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from training.classifier import Network

_FAULTS = max(len(family.faults) for family in FAMILIES)


class Fused(nn.Module):
    """A fitted ``Network`` that answers the same from fewer nodes."""

    columns: Tensor
    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    of_band: Tensor
    second: Tensor
    second_bias: Tensor
    of_rest: Tensor
    seen: Tensor
    of_mechanical: Tensor
    of_thermal: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    answer: Tensor
    answer_bias: Tensor
    order: Tensor
    gain: Tensor
    bias: Tensor
    told: Tensor
    told_bias: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        heads = [head for head in network.heads if isinstance(head, Head)]
        bearing, *others = heads
        experts = [[one for one in head.experts if isinstance(one, Expert)] for head in heads]
        mates = [one.net[0] for one in experts[0] if isinstance(one.net[0], BandMates)]
        self.members, self.width = len(mates), mates[0].second.out_features
        self._inputs(bearing, others)

        def stacked(name: str, parts: Iterable[Tensor]) -> None:
            self.register_buffer(name, torch.stack(list(parts)).detach().contiguous())

        # Inputs of a band: its features, the features of no band, whether it is wide, 1.
        stacked(
            "of_band",
            (
                torch.cat(
                    [one.of_band.weight, one.of_rest.weight, one.of_width[:, None], one.of_band.bias[:, None]], 1
                ).T
                for one in mates
            ),
        )
        stacked("second", (one.second.weight.T for one in mates))
        stacked("second_bias", (one.second.bias[None] for one in mates))
        last = [_dense(one.net[1]) for one in experts[0]]
        split = 2 * self.width
        stacked("seen", (one.weight[:, :split].T for one in last))
        stacked("of_rest", (torch.cat([one.weight[:, split:], one.bias[:, None]], 1).T for one in last))
        first = [[_dense(one.net[0][0]) for one in family] for family in experts[1:]]  # type: ignore[index]
        for name, family in zip(("of_mechanical", "of_thermal"), first, strict=True):
            stacked(name, (torch.cat([one.weight, one.bias[:, None]], 1).T for one in family))
        hidden = [_dense(one.net[1]) for family in experts[1:] for one in family]
        stacked("hidden", (one.weight.T for one in hidden))
        stacked("hidden_bias", (one.bias[None] for one in hidden))
        everyone = [one for family in experts for one in family]
        stacked("answer", (torch.cat([_padded(one.logit.weight), _padded(one.severity.weight)]).T for one in everyone))
        stacked(
            "answer_bias", (torch.cat([_padded(one.logit.bias), _padded(one.severity.bias)])[None] for one in everyone)
        )
        self._outputs(network)

    def _inputs(self, bearing: Head, others: Sequence[Head]) -> None:
        """Which features go where: for each band its own, those of no band, two constants; then all of no band."""
        split = bearing.in_band * len(BANDS)
        wanted, mean, scale, low, high = [], [], [], [], []

        def take(head: Head, at: slice) -> None:
            wanted.extend(head.columns[at].tolist())
            mean.extend(head.mean[at].tolist())
            scale.extend(head.scale[at].tolist())
            low.extend([-CLAMP] * len(head.columns[at]))
            high.extend([CLAMP] * len(head.columns[at]))

        def constant(value: float) -> None:
            for values, one in ((wanted, INDEX["has_order"]), (mean, 0.0), (scale, 1.0), (low, value), (high, value)):
                values.append(one)

        for at, band in enumerate(BANDS):
            take(bearing, slice(at * bearing.in_band, (at + 1) * bearing.in_band))
            take(bearing, slice(split, None))
            constant(float(band.width == WIDE))
            constant(1.0)
        of_bands = len(wanted)
        # The same once more for the last layer, which sees them beside mean and maximum over the bands.
        take(bearing, slice(split, None))
        constant(1.0)
        of_none = len(wanted) - of_bands
        for head in others:
            take(head, slice(None))
            constant(1.0)
        self.sizes = [of_bands, of_none, *(len(head.columns) + 1 for head in others)]
        self.register_buffer("columns", torch.tensor(wanted))
        for name, values in (("mean", mean), ("scale", scale), ("low", low), ("high", high)):
            self.register_buffer(name, torch.tensor(values))

    def _outputs(self, network: Network) -> None:
        """Where a class lies among the families' answers, its calibration, and by what it is told."""
        places = {one: (at, fault) for at, family in enumerate(FAMILIES) for fault, one in enumerate(family.faults)}
        order = [2 * _FAULTS * places[one][0] + places[one][1] + kind for kind in (0, _FAULTS) for one in CLASSES]
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("gain", torch.cat([network.gain, network.slope]))
        self.register_buffer("bias", torch.cat([network.bias, -network.start * network.slope]))
        # has_bearing, has_order, and this where half orders can be told.
        kinds = [
            0 if one in BEARING_FAULTS else 2 if one == Fault.LOOSENESS else 1 if one in FAMILIES[1].faults else 3
            for one in CLASSES
        ]
        self.register_buffer("told", torch.tensor([[float(kind == row) for kind in kinds] for row in range(3)]))
        self.register_buffer("told_bias", torch.tensor([float(kind == 3) for kind in kinds]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Probability ``(B, C)`` and severity ``(B,)`` of features ``(B, len(NAMES))``, as ``Network`` has them."""
        mine = (torch.index_select(features, 1, self.columns) - self.mean) * self.scale
        mine = torch.minimum(torch.maximum(mine, self.low), self.high)
        bands, rest, mechanical, thermal = mine.split(self.sizes, dim=1)
        met = torch.relu(torch.matmul(bands.reshape(-1, self.of_band.shape[1]), self.of_band))
        seen = torch.relu(torch.matmul(met, self.second) + self.second_bias)
        seen = seen.reshape(self.members, -1, len(BANDS), self.width)
        seen = torch.cat([seen.mean(dim=2), seen.amax(dim=2)], dim=2)
        of_bearing = torch.matmul(seen, self.seen) + torch.matmul(rest, self.of_rest)
        met = torch.cat([torch.matmul(mechanical, self.of_mechanical), torch.matmul(thermal, self.of_thermal)])
        of_others = torch.matmul(torch.relu(met), self.hidden) + self.hidden_bias
        hidden = torch.relu(torch.cat([of_bearing, of_others]))
        answer = torch.matmul(hidden, self.answer) + self.answer_bias
        logit, severity = answer.split(_FAULTS, dim=2)
        answers = torch.cat([logit, torch.sigmoid(severity)], dim=2)
        mean = answers.reshape(len(FAMILIES), self.members, -1, 2 * _FAULTS).mean(dim=1)
        families = mean.transpose(0, 1).reshape(-1, len(FAMILIES) * 2 * _FAULTS)
        calibrated = torch.index_select(families, 1, self.order) * self.gain + self.bias
        logit, severity = calibrated.split(len(CLASSES), dim=1)
        has_bearing, has_order = (features[:, INDEX[name] : INDEX[name] + 1] for name in ("has_bearing", "has_order"))
        flags = torch.cat([has_bearing, has_order, has_order * halves_told(features)], dim=1)
        probability = torch.sigmoid(logit) * torch.addmm(self.told_bias, flags, self.told)
        present = torch.clamp(4.0 * probability - 2.0, 0.0, 1.0)
        return probability, (torch.clamp(severity, 0.02, 1.0) * present).amax(dim=1)


def _dense(module: nn.Module) -> nn.Linear:
    assert isinstance(module, nn.Linear)
    return module


def _padded(rows: Tensor) -> Tensor:
    """Rows of a family's faults, with zeros for those that a larger family has more."""
    return torch.cat([rows, rows.new_zeros(_FAULTS - len(rows), *rows.shape[1:])])
