"""What every generator and classifier here is fed: equal-length windows with their conditions, and the scaler.

A window's condition row is ``[one-hot class | severity | operating point]``. Nothing is fitted on anything but training
windows; splitting by unit happens in the loaders, before a scaler or a generator sees a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Index = NDArray[np.intp]


class InputError(ValueError):
    """Something in the data cannot be used as it is; the text names the field and the remedy in one line."""


@dataclass(frozen=True, slots=True)
class Windows:
    """``N`` windows of ``T`` steps and ``C`` channels, with what was known when they were taken.

    Attributes:
        values: float32 ``(N, T, C)``, finite.
        label: index into ``classes``, ``(N,)``.
        severity: 0..1, ``(N,)``.
        operating: operating point, ``(N, O)``; O may be 0.
        unit: machine or bearing each window came from, ``(N,)``; -1 for made-up ones.
        classes: class names; index 0 is healthy.
        channels: channel names, ``C`` of them.
        aligned: a step is the same place in every window (an order of a spectrum), so it is scaled on its own and needs
            no summary; otherwise steps are moments of a time series.

    Raises:
        InputError: shapes disagree, a value is not finite, or a label is unknown.
    """

    values: Floats
    label: Index
    severity: Floats
    operating: Floats
    unit: Index
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    aligned: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[2] != len(self.channels):
            raise InputError(
                f"values: shape {self.values.shape} is not (windows, steps, {len(self.channels)} channels); "
                "name every channel once"
            )
        n = len(self.values)
        for field in ("label", "severity", "operating", "unit"):
            if len(getattr(self, field)) != n:
                raise InputError(f"{field}: {len(getattr(self, field))} rows for {n} windows; give one row per window")
        bad = ~np.isfinite(self.values)
        if bad.any():
            channel = self.channels[int(np.flatnonzero(bad.any(axis=(0, 1)))[0])]
            raise InputError(
                f"values: {int(bad.sum())} NaN or infinite, first in channel {channel!r}; "
                "fill short gaps with windows.filled or drop those windows"
            )
        for field in ("severity", "operating"):
            if not np.isfinite(getattr(self, field)).all():
                raise InputError(f"{field}: NaN or infinite; give a number for every window")
        if n and (self.label.min() < 0 or self.label.max() >= len(self.classes)):
            raise InputError(f"label: outside 0..{len(self.classes) - 1}; add the class to classes")

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: NDArray[np.bool_] | Index) -> Self:
        """The windows chosen by a mask or by indices."""
        return replace(
            self,
            values=self.values[which],
            label=self.label[which],
            severity=self.severity[which],
            operating=self.operating[which],
            unit=self.unit[which],
        )

    def of(self, label: int) -> Self:
        """The windows of one class."""
        return self.take(self.label == label)

    def with_values(self, values: NDArray[np.floating], *, made_up: bool = True) -> Self:
        """The same conditions with other values ``(N, T, C)``; made-up windows belong to no unit."""
        unit = np.full(len(values), -1, dtype=np.intp) if made_up else self.unit
        return replace(self, values=np.asarray(values, dtype=np.float32), unit=unit)

    def joined(self, *others: Windows) -> Self:
        """These windows followed by others of the same classes and channels."""
        parts: list[Windows] = [self, *others]
        if any(part.channels != self.channels or part.classes != self.classes for part in parts):
            raise InputError("channels: the parts to join have different channels or classes; build them alike")
        return replace(
            self,
            values=np.concatenate([part.values for part in parts]),
            label=np.concatenate([part.label for part in parts]),
            severity=np.concatenate([part.severity for part in parts]),
            operating=np.concatenate([part.operating for part in parts]),
            unit=np.concatenate([part.unit for part in parts]),
        )

    def condition(self) -> Floats:
        """Condition rows ``(N, classes + 1 + O)``."""
        one_hot = np.eye(len(self.classes), dtype=np.float32)[self.label]
        return np.hstack([one_hot, self.severity[:, None], self.operating]).astype(np.float32)

    def counts(self) -> Index:
        """Windows per class."""
        return np.bincount(self.label, minlength=len(self.classes))


def filled(values: NDArray[np.floating], *, max_gap: int = 3) -> tuple[Floats, NDArray[np.bool_]]:
    """Bridges short gaps linearly along time.

    Args:
        values: ``(N, T, C)``; NaN or infinite is missing.
        max_gap: longest run of missing steps that is bridged; a gap at an edge takes the nearest value.

    Returns:
        The filled windows, and which windows are usable ``(N,)``: those whose gaps were all short enough.
    """
    out = np.array(values, dtype=np.float32)
    usable = np.ones(len(out), dtype=bool)
    steps = np.arange(out.shape[1])
    for n in np.flatnonzero(~np.isfinite(out).all(axis=(1, 2))):
        for c in range(out.shape[2]):
            good = np.isfinite(out[n, :, c])
            if good.all():
                continue
            edges = np.flatnonzero(np.diff(np.concatenate([[True], good, [True]]).astype(np.int8)))
            if not good.any() or (edges[1::2] - edges[::2]).max() > max_gap:
                usable[n] = False
                break
            out[n, :, c] = np.interp(steps, steps[good], out[n, good, c])
    out[~usable] = 0.0
    return out, usable


@dataclass(frozen=True, slots=True)
class Scaler:
    """Zero mean and unit variance per channel (``(1, C)``), or per step and channel of aligned windows (``(T, C)``).

    Fitted on training windows only. A constant channel has scale 0: it scales to 0 and comes back as its constant,
    whatever a generator emits for it.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def fitted(cls, windows: Windows) -> Scaler:
        """From ``(N, T, C)``.

        Raises:
            InputError: there are no windows, or every channel is constant.
        """
        if not len(windows):
            raise InputError("values: no training windows; give at least one")
        rows = windows.values.astype(np.float64)
        rows = rows if windows.aligned else rows.reshape(-1, 1, rows.shape[2])
        mean, scale = rows.mean(axis=0).astype(np.float32), rows.std(axis=0).astype(np.float32)
        scale = np.where(scale > 1e-6 * np.maximum(np.abs(mean), 1.0), scale, 0.0).astype(np.float32)
        if not scale.any():
            raise InputError("values: every channel is constant in training; there is nothing to learn from")
        return cls(mean, scale)

    def scaled(self, values: Floats) -> Floats:
        """(x - mean) / scale, and 0 for a constant channel."""
        inverse = np.divide(1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0)
        return ((values - self.mean) * inverse).astype(np.float32)

    def restored(self, scaled: Floats) -> Floats:
        """X = z scale + mean."""
        return (scaled * self.scale + self.mean).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Split:
    """One draw of a task: what may be learnt from, what judges, and both by fold.

    Attributes:
        train: all that scaler, generator and classifier may see.
        tests: windows of unseen units by fold name; the winner for one fold is picked on the others.
        reserve: windows of the training units that nothing was fitted on, for the same-unit control.
        physics: windows made by the physics twin for this draw, labelled like train.
    """

    train: Windows
    tests: dict[str, Windows]
    reserve: Windows
    physics: Windows
