"""Which samples criteria look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stratified_sample(
    targets: NDArray[np.int64], weights: NDArray[np.floating] | None, size: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Samples to look at, as many of every class as there are or can be, and how much each of them counts.

    A rare class is looked at as a whole, where a simple random sample would have a few of it. Each class counts as much
    as in all the data, so that means over the sample estimate means over the data.

    Parameters
    ----------
    targets : ndarray of int64, shape (n,)
        Class indices.
    weights : ndarray, shape (n,), optional
        How much each sample counts; those that count nothing are not taken.
    size : int
        At most so many are taken.
    seed : int

    Returns
    -------
    rows : ndarray of int, shape (n_taken,)
        In ascending order.
    shares : ndarray, shape (n_taken,)
        Sum to one.
    """
    rows = np.arange(len(targets)) if weights is None else np.flatnonzero(weights)
    counts = np.ones(len(targets)) if weights is None else weights
    if len(rows) <= size:
        return rows, counts[rows] / counts[rows].sum()
    rng = np.random.default_rng(seed)
    _, codes, sizes = np.unique(targets[rows], return_inverse=True, return_counts=True)
    taken = [
        np.sort(rng.choice(rows[codes == code], quota, replace=False))
        for code, quota in enumerate(_even_quotas(sizes, size))
    ]
    totals = np.bincount(codes, weights=counts[rows])
    shares = [counts[some] / max(counts[some].sum(), 1e-30) * total for some, total in zip(taken, totals, strict=True)]
    chosen, share = np.concatenate(taken), np.concatenate(shares)
    order = np.argsort(chosen)
    return chosen[order], share[order] / share.sum()


def _even_quotas(sizes: NDArray[np.intp], total: int) -> NDArray[np.intp]:
    """Share `total` among classes evenly, but to none more than its size; what small ones leave goes to the others."""
    quotas = np.zeros_like(sizes)
    for done, code in enumerate(np.argsort(sizes, kind="stable")):
        quotas[code] = min(sizes[code], (total - quotas.sum()) // (len(sizes) - done))
    return quotas
