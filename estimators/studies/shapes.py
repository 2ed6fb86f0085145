"""Whether curves of accuracy against sparsity share a shape: flat, then a knee, then a collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .comparisons import groups_of
from .paired import ALPHA
from .statistics import KNEE_DROP, knee, mean_interval

if TYPE_CHECKING:
    import pandas as pd

#: Where the loss of accuracy is reported.
REPORTED = (0.5, 0.8, 0.9, 0.95)

#: A curve is flat if it has lost less than `KNEE_DROP` here, and collapses if it loses more than `COLLAPSE` somewhere.
FLAT_UP_TO, COLLAPSE = 0.5, 0.2


class Shape(NamedTuple):
    """One curve, averaged over seeds.

    Attributes
    ----------
    name : str
        Its part and method.
    knees : list of float
        Of each seed, where two points are lost; NaN where they are not.
    lost : dict of float to float
        Mean accuracy lost at each sparsity, against the sparsity 0 of the same seed.
    n : int
        How many seeds.
    """

    name: str
    knees: list[float]
    lost: dict[float, float]
    n: int

    @property
    def is_flat(self) -> bool:
        """Whether it begins flat."""
        return all(loss < KNEE_DROP for sparsity, loss in self.lost.items() if sparsity <= FLAT_UP_TO)

    @property
    def collapses(self) -> bool:
        """Whether it ends in a collapse."""
        return max(self.lost.values(), default=0.0) > COLLAPSE


def shapes_of(frame: pd.DataFrame) -> list[Shape]:
    """The curve of every part and method.

    Parameters
    ----------
    frame : DataFrame
        With ``part``, ``method``, ``seed``, ``sparsity`` and ``accuracy``; seeds without sparsity 0 are left out.
    """
    found = []
    for names, group in groups_of(frame, ["part", "method"]):
        table = group.pivot_table(index="seed", columns="sparsity", values="accuracy")
        if 0.0 not in table:
            continue
        table = table.dropna(subset=[0.0])
        curves = table.sub(table[0.0], axis=0)
        knees = [knee(np.array(curves.columns, dtype=float), row) for row in table.to_numpy()]
        means = {float(sparsity): float(-curves[sparsity].mean()) for sparsity in table.columns.tolist()}
        lost = {sparsity: loss for sparsity, loss in means.items() if sparsity > 0 and np.isfinite(loss)}
        found.append(Shape(f"{names['part']}, {names['method']}", knees, lost, len(table)))
    return found


def on_shapes(frame: pd.DataFrame, differences: pd.DataFrame, baseline: str) -> list[str]:
    """Sentences on each curve, on the shapes that they have, and on how often a method costs more than the baseline."""
    shapes = shapes_of(frame)
    sentences = [f"{shape.name}: {_knee_of(shape)}; {_losses(shape)}." for shape in shapes]
    sentences += _common_shape(shapes)
    for names, group in groups_of(differences, ["method"]) if not differences.empty else ():
        sentences.append(_costs(str(names["method"]), baseline, group))
    return sentences


def _knee_of(shape: Shape) -> str:
    known = [value for value in shape.knees if np.isfinite(value)]
    if not known:
        return f"loses less than two points up to {100 * max(shape.lost, default=0):.4g} % (n = {shape.n})"
    mean, low, high = (100 * value for value in mean_interval(known))
    text = f"two points are lost at {mean:.1f} %"
    if np.isfinite(low):
        text += f" (95 % interval {max(low, 0):.1f} to {min(high, 100):.1f}, n = {len(known)})"
    if len(known) < shape.n:
        text += f", and not at all in {shape.n - len(known)} of {shape.n} seeds"
    return text


def _losses(shape: Shape) -> str:
    at = [sparsity for sparsity in REPORTED if sparsity in shape.lost]
    texts = [f"{100 * shape.lost[sparsity]:.1f} at {100 * sparsity:.4g} %" for sparsity in at]
    return f"points lost: {', '.join(texts)}" if texts else "no loss is known at the sparsities that are reported"


def _common_shape(shapes: list[Shape]) -> list[str]:
    if not shapes:
        return []
    described = (
        f"flat (less than two points lost up to {100 * FLAT_UP_TO:.0f} %), then a knee, then a collapse (more than "
        f"{100 * COLLAPSE:.0f} points lost)"
    )
    others = [shape for shape in shapes if not (shape.is_flat and shape.collapses)]
    if not others:
        return [f"All {len(shapes)} curves have one shape: {described}."]
    why = [f"{shape.name} ({_other_shape(shape)})" for shape in others]
    return [f"{len(shapes) - len(others)} of {len(shapes)} curves are {described}. Others: {'; '.join(why)}."]


def _other_shape(shape: Shape) -> str:
    if shape.is_flat:
        return f"loses {100 * max(shape.lost.values(), default=0):.1f} points at most"
    return "is not flat" if shape.collapses else "is not flat, and does not collapse"


def _costs(method: str, baseline: str, differences: pd.DataFrame) -> str:
    """How often a method is worse than the baseline, over all parts and sparsities."""
    gaps = differences["difference"].to_numpy(dtype=float)
    is_sure = differences["p_holm"].to_numpy(dtype=float) < ALPHA
    worse, better = int((is_sure & (gaps < 0)).sum()), int((is_sure & (gaps > 0)).sum())
    rest = len(gaps) - worse - better
    always = "always costs more" if worse == len(gaps) else "does not always cost more"
    if worse < len(gaps) and not better:
        always = "was never found to cost less"
    return (
        f"Pruning by {method} {always} than by {baseline} at equal sparsity: worse in {worse} of {len(gaps)} "
        f"comparisons, better in {better}, no difference found in {rest}."
    )
