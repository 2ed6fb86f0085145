"""Whole experiments: a data set, a recipe, several seeds, and a tidy table of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .path import iter_sparsity_path
from .presets import BOTH_GRANULARITIES, ORIGINAL_SPARSITIES, variants_of
from .validation import clone_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sklearn.utils import Bunch

    from .base import BasePrunedClassifier
    from .path import PathPoint
    from .training import Checkpoint, Event


def sweep(
    estimator: BasePrunedClassifier,
    data: Bunch,
    *,
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
    variants: Sequence[Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (0,),
    on_seed: Callable[[int], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    done: Mapping[int, int] | None = None,
    checkpoint_of: Callable[[int], Checkpoint | None] | None = None,
    watch: bool = False,
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
        Parameters of the pruning that replace those of `estimator`; by default, weights and units.
    seeds : sequence of int
        Each the `random_state` of one training.
    on_seed : callable, optional
        Called with each seed before it starts.
    on_event : callable, optional
        Told the progress of training and the points done.
    done : mapping of int to int, optional
        How many points of a seed are known from before; they are left out.
    checkpoint_of : callable, optional
        The checkpoint to go on from, of a seed whose training was interrupted; see `iter_sparsity_path`.
    watch : bool, default=False
        Whether to tell the accuracy on the test data after every epoch.

    Yields
    ------
    PathPoint
        Its ``row`` has the columns of `prunelab.estimators.path.COLUMNS`.
    """
    variants = variants_of(BOTH_GRANULARITIES) if variants is None else variants
    for seed in seeds:
        skip = 0 if done is None else done.get(seed, 0)
        if skip >= len(variants) * len(sparsities):
            continue
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
            checkpoint=None if checkpoint_of is None else checkpoint_of(seed),
            skip=skip,
            watch=watch,
        )
