"""Wrong labels, to study what networks memorise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The wrong labels are the same in every process and for every network.
_SEED = 0


def with_label_noise(y: NDArray[Any], fraction: float) -> NDArray[Any]:
    """Replace the labels of a fraction of the samples by those of other classes (symmetric noise).

    Exactly ``round(fraction * n)`` labels are wrong, each drawn uniformly from the other classes. The same labels and
    fraction always give the same result, and what is wrong at 20 % is wrong at 40 % in the same way.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels; they are not changed.
    fraction : float
        From 0 to 1.

    Returns
    -------
    ndarray of shape (n_samples,)

    References
    ----------
    Z. He, Z. Xie, Q. Zhu, Z. Qin, "Sparse Double Descent: Where Network Pruning Aggravates Overfitting", ICML 2022.
    """
    classes, codes = np.unique(y, return_inverse=True)
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(y))
    shifts = rng.integers(1, max(len(classes), 2), size=len(y))
    wrong = order[: round(fraction * len(y))]
    codes[wrong] = (codes[wrong] + shifts[wrong]) % len(classes)
    return classes[codes]
