"""Axes: their limits and ticks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...estimators.messages import as_text

HUGE = 1e300
"""Larger values count as infinite: differences between such numbers would overflow."""

Array = npt.NDArray[np.float64]
Limits = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """The range of an axis in its own coordinates, and its ticks."""

    low: float
    high: float
    ticks: list[float]
    labels: list[str]

    @property
    def label_width(self) -> int:
        """The width of the widest tick label in columns."""
        return max(map(len, self.labels), default=0)

    def fraction(self, values: Array | float) -> Array:
        """The positions of values between the ends of the axis, which are 0 and 1."""
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)

    def contains(self, values: Array | float) -> npt.NDArray[np.bool_]:
        """Which values are on the axis."""
        return (np.asarray(values) >= self.low) & (np.asarray(values) <= self.high)


def _nice_step(span: float, count: int) -> float:
    """Return the smallest round step that divides `span` into fewer than `count` parts."""
    rough = span / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _with_span(low: float, high: float) -> Limits:
    """Widen a range whose extent is negligible."""
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * size and high - low > 1e-300:
        return low, high
    half = 0.05 * size if size > 1e-300 else 1.0
    return low - half, high + half


def round_limits(low: float, high: float, count: int) -> Limits:
    """Widen a range to round numbers."""
    low, high = _with_span(low, high)
    for _ in range(3):  # Rounding widens the range, which may require a larger step.
        step = _nice_step(high - low, count)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return low, high


def _round_ticks(low: float, high: float, count: int) -> list[float]:
    """Return the round numbers inside a range, `count` or fewer; its ends if there is none."""
    step = _nice_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)] or [low, high]


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """Format ticks alike, with just enough digits to distinguish them."""
    gap = min((b - a for a, b in itertools.pairwise(sorted(ticks))), default=1.0)

    def exact(labels: list[str]) -> bool:
        errors = (abs(float(label) - tick) for label, tick in zip(labels, ticks, strict=True))
        return all(error <= 1e-3 * gap for error in errors)

    for decimals in range(7):
        labels = [f"{round(tick, decimals) + 0.0:.{decimals}f}" for tick in ticks]
        if exact(labels) and max(map(len, labels), default=0) <= 8:
            return labels
    scientific = [[f"{tick:.{digits}g}" for tick in ticks] for digits in range(1, 5)]
    return next((labels for labels in scientific if exact(labels)), scientific[-1])


def linear_axis(
    values: Array, limits: Limits | None, ticks: Sequence[float] | None, count: int, *, widen: bool
) -> Axis:
    """Lay out a linear axis for values, or with given limits and ticks."""
    if limits is not None:
        low, high = limits
    elif len(values) == 0:
        low, high = 0.0, 1.0
    elif widen:
        low, high = round_limits(float(values.min()), float(values.max()), count)
    else:
        low, high = _with_span(float(values.min()), float(values.max()))
    shown = _round_ticks(low, high, count) if ticks is None else [t for t in ticks if low <= t <= high]
    return Axis(low, high, shown, _tick_labels(shown))


def log_axis(values: Array, limits: Limits | None, count: int) -> Axis:
    """Lay out a logarithmic axis; its coordinates are decimal logarithms."""
    if limits is not None:
        low, high = limits
    elif len(values) == 0:
        low, high = 0.0, 1.0
    else:
        low, high = float(values.min()), float(values.max())
        fine = _round_logs(low, high, (1, 2, 5) if high - low < 2 else (1,))
        low = max(value for value in fine if value <= low + 1e-9)
        high = min(value for value in fine if value >= high - 1e-9 and value > low + 1e-9)
    choices = [_round_logs(low, high, factors) for factors in ((1, 2, 5), (1, 3), (1,))]
    ticks = [[value for value in choice if low - 1e-9 <= value <= high + 1e-9] for choice in choices]
    shown = next((some for some in ticks if 0 < len(some) <= count), None)
    shown = shown or ticks[-1][:: max(1, math.ceil(len(ticks[-1]) / count))] or [low, high]
    return Axis(low, high, shown, [f"{10.0**tick:.4g}" for tick in shown])


def _round_logs(low: float, high: float, factors: Sequence[int]) -> list[float]:
    """Return the logarithms of round numbers inside a range of logarithms and a little beyond it."""
    decades = range(math.floor(low) - 1, math.ceil(high) + 2)
    return [decade + math.log10(factor) for decade in decades for factor in factors]


def check_limits(name: str, limits: Limits | None, log: bool = False) -> Limits | None:
    """Refuse invalid limits of an axis; return them in its coordinates."""
    if limits is None:
        return None
    low, high = float(limits[0]), float(limits[1])
    if not (-HUGE < low < high < HUGE) or (log and low <= 0):
        wanted = "positive numbers" if log else "numbers"
        raise ValueError(f"{name} must be two finite {wanted} in ascending order, got {as_text(limits)}")
    return (math.log10(low), math.log10(high)) if log else (low, high)
