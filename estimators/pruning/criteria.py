"""Pruning criteria: how much a weight or a unit matters. High scores are kept.

A criterion is one function from a `Model` to one array of scores a layer, registered under its name for
the granularity it scores. One that scores weights only also serves units: a unit's score is then the norm
of the scores of its incoming weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Scores = list[NDArray[np.floating]]
    Criterion = Callable[["Model"], Scores]

GRANULARITIES = ("weight", "unit")
NORMS = (1, 2, np.inf)


@dataclass(frozen=True)
class Model:
    """What a criterion may look at.

    Attributes
    ----------
    coefs : sequence of ndarray, each (n_in, n_out)
        The weights of the layers that are to be pruned.
    seed : int
        For criteria that draw random numbers.
    """

    coefs: Sequence[NDArray[np.floating]]
    seed: int = 0


WEIGHT_CRITERIA: dict[str, Criterion] = {}
UNIT_CRITERIA: dict[str, Criterion] = {}


def criterion(name: str, granularity: str = "weight") -> Callable[[Criterion], Criterion]:
    """Register a function as criterion `name` for weights or for units."""
    registry = {"weight": WEIGHT_CRITERIA, "unit": UNIT_CRITERIA}[granularity]

    def register(function: Criterion) -> Criterion:
        registry[name] = function
        return function

    return register


def criterion_names() -> list[str]:
    """The names of all criteria."""
    return sorted(WEIGHT_CRITERIA.keys() | UNIT_CRITERIA.keys())


@criterion("magnitude")
def magnitude(model: Model) -> Scores:
    """The absolute value of each weight.

    References
    ----------
    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015.
    """
    return [np.abs(coef) for coef in model.coefs]


@criterion("random")
def random_weights(model: Model) -> Scores:
    """Uniform random numbers: the floor that every other criterion has to beat."""
    rng = np.random.default_rng(model.seed)
    return [rng.random(coef.shape, dtype=np.float32) for coef in model.coefs]


@criterion("random", granularity="unit")
def random_units(model: Model) -> Scores:
    """A uniform random number a unit (the norm of random weights would favour units with many inputs)."""
    rng = np.random.default_rng(model.seed)
    return [rng.random(coef.shape[1], dtype=np.float32) for coef in model.coefs]


def weight_scores(name: str, model: Model) -> Scores:
    """Score every weight; each array has the shape of its layer's weights."""
    return WEIGHT_CRITERIA[name](model)


def unit_scores(name: str, model: Model, norm: float = 2) -> Scores:
    """Score every unit; each array is (n_out,).

    Parameters
    ----------
    name : str
        The criterion.
    model : Model
        What is scored.
    norm : {1, 2, inf}
        How the scores of a unit's incoming weights make its own, for criteria that score weights.
    """
    if name in UNIT_CRITERIA:
        return UNIT_CRITERIA[name](model)
    return [np.linalg.norm(scores, ord=norm, axis=0) for scores in WEIGHT_CRITERIA[name](model)]
