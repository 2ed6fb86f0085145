"""How long an experiment takes, from the epochs it trains and the speed of this machine."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..parameters import DEFAULTS
from ..presets import variants_of
from ..registry import estimator_class
from .catalogue import rounds_of
from .run import with_sample_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sklearn.utils import Bunch

#: Batches of the training that measures the speed.
_BATCHES = 30

#: The evaluation of a sample takes about a third of its training: one of three products.
_EVALUATION = 1 / 3


def training_epochs(
    parameters: Mapping[str, Any], ways: Mapping[str, Sequence[Any]], sparsities: Sequence[float]
) -> int:
    """The epochs that one seed of an experiment trains at most, all networks together.

    Parameters
    ----------
    parameters : mapping
        Of the classifier, where they differ from the defaults.
    ways : mapping of str to sequence
        The ways of pruning.
    sparsities : sequence of float
    """
    total = {**DEFAULTS, **parameters}["max_iter"]
    found: set[str] = set()
    for variant in variants_of(ways):
        given = {**DEFAULTS, **parameters, **variant}
        epochs, schedule = given["max_iter"], given["schedule"]
        n = len(sparsities)
        rounds = [
            rounds_of(sparsity) if given["n_rounds"] == "auto" else given["n_rounds"]
            for sparsity in sparsities
            if 0 < sparsity < 1
        ]
        if schedule == "one-shot":
            total += n * given["fine_tune_iter"]
        elif schedule == "iterative":
            total += sum(rounds) * given["fine_tune_iter"]
        elif schedule.startswith("rewind"):
            if "rewind" not in found:  # the controls use the tickets that are known
                found.add("rewind")
                # On the common ladder, the last round of each sparsity is its own.
                total += epochs * (max(rounds, default=0) + n if given["n_rounds"] == "auto" else sum(rounds))
            total += n * epochs * (schedule != "rewind") + n * given["fine_tune_iter"]
        else:
            total += n * (epochs + given["fine_tune_iter"])
        if given["control"] != "none":
            total += n * epochs
    return total


@contextmanager
def one_of(jobs: int) -> Iterator[None]:
    """Compute with the threads that each of several processes has."""
    import torch

    threads = torch.get_num_threads()
    if jobs > 1:
        torch.set_num_threads(max(1, threads // jobs))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def estimated_seconds(
    parameters: Mapping[str, Any],
    ways: Mapping[str, Sequence[Any]],
    sparsities: Sequence[float],
    data: Bunch,
    estimator: str = "mlp",
) -> float:
    """How long one seed of an experiment takes here, from a training of a few batches.

    The scores of the criteria are left out, so expensive ones take longer than this.
    """
    batch = {**DEFAULTS, **parameters}["batch_size"]
    n = min(len(data.y_train), _BATCHES * batch)
    short = {name: value for name, value in parameters.items() if name not in ("early_stopping", "memory")}
    classifier = estimator_class(estimator)(**{**short, "max_iter": 1, "random_state": 0})
    classifier = with_sample_shape(classifier, data)
    seconds = 0.0
    for _ in range(2):  # the first one starts up threads and libraries
        start = time.perf_counter()
        classifier.fit(data.X_train[:n], data.y_train[:n])
        seconds = time.perf_counter() - start
    n_networks = len(variants_of(ways)) * len(sparsities)
    samples = training_epochs(parameters, ways, sparsities) * len(data.y_train)
    return seconds / n * (samples + _EVALUATION * n_networks * len(data.y_test))
