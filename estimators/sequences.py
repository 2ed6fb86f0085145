"""Sequences of different length: NaN at the end of the shorter ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sequence_lengths(X: NDArray[Any], name: str = "X") -> NDArray[np.intp]:
    """The number of steps of each sequence before its padding.

    Parameters
    ----------
    X : ndarray of shape (n, steps, features)
        Steps behind the end of a sequence are NaN in every feature.
    name : str, default="X"
        For messages.

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    ValueError
        If a value is infinite, or NaN elsewhere than in the steps behind the end of a sequence, or a sequence has no
        steps.
    """
    is_missing = np.isnan(X)
    is_padding = np.all(is_missing, axis=2)
    lengths = X.shape[1] - np.flip(is_padding, axis=1).cumprod(axis=1).sum(axis=1)
    if np.isinf(X).any():
        raise ValueError(f"{name} has infinite values: replace them or leave these samples out")
    behind = np.arange(X.shape[1]) >= lengths[:, None]
    n_bad = int(np.count_nonzero(is_missing & ~behind[:, :, None]))
    if n_bad:
        raise ValueError(
            f"{name} has {n_bad} missing (NaN) values within sequences: NaN in all features marks the steps behind the "
            "end of a shorter sequence only, so fill the others in"
        )
    if not lengths.all():
        raise ValueError(f"{name} has sequences without any step: leave these samples out")
    return lengths


def steps_of(X: NDArray[Any]) -> NDArray[Any]:
    """All steps of sequences (n, steps, features) without the padding, (steps in all, features)."""
    steps = X.reshape(-1, X.shape[-1])
    return steps[~np.isnan(steps).all(axis=1)]
