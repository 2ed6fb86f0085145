"""Whole experiments: a data set, a recipe, several seeds, and a tidy table of what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .path import ORIGINAL_SPARSITIES, iter_sparsity_path
from .validation import clone_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sklearn.utils import Bunch

    from .base import BasePrunedClassifier
    from .path import PathPoint
    from .training import Event

BOTH_GRANULARITIES = ({"granularity": "weight"}, {"granularity": "unit"})


@dataclass(frozen=True)
class Preset:
    """A named experiment: the data set, parameters that differ from the estimator's defaults, sparsities."""

    description: str
    dataset: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES


PRESETS = {
    "original": Preset(
        'the experiment "Experiments in Pruning": 784-1000-1000-500-200-10 without biases on MNIST, 3 epochs',
        dataset="mnist",
        parameters={"max_iter": 3},
    ),
    "digits": Preset(
        "the same network on the small digits that ship with scikit-learn, 20 epochs",
        dataset="digits",
        parameters={"max_iter": 20},
    ),
}


def sweep(
    estimator: BasePrunedClassifier,
    data: Bunch,
    *,
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
    variants: Sequence[Mapping[str, Any]] = BOTH_GRANULARITIES,
    seeds: Sequence[int] = (0,),
    on_seed: Callable[[int], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Iterator[PathPoint]:
    """Accuracy against sparsity for several ways of pruning and several seeds, point by point.

    Each seed trains one dense network, from which every variant is pruned to every sparsity.

    Parameters
    ----------
    estimator : PrunedMLPClassifier
        Its parameters say how to train; it is not changed.
    data : Bunch
        From `load_dataset`: training and test data.
    sparsities : sequence of float
    variants : sequence of mappings
        Parameters of the pruning that replace those of `estimator`; weights and units by default.
    seeds : sequence of int
        Each the `random_state` of one training.
    on_seed : callable, optional
        Called with each seed before it starts.
    on_event : callable, optional
        Told the progress of training and the points done.

    Yields
    ------
    PathPoint
        Its ``row`` has the columns of `prunelab.estimators.path.COLUMNS`.
    """
    for seed in seeds:
        if on_seed is not None:
            on_seed(seed)
        yield from iter_sparsity_path(
            clone_with(estimator, random_state=seed),
            data.X_train,
            data.y_train,
            sparsities=sparsities,
            variants=variants,
            X_test=data.X_test,
            y_test=data.y_test,
            on_event=on_event,
        )
