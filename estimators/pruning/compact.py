"""A physically smaller network with the same outputs.

Masks alone save nothing: a product with zeros takes as long as any other. Units that no longer matter can
be taken out of the matrices, which does save time, memory and file size.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import expit

from .connectivity import reachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ACTIVATIONS = {
    "relu": lambda values: np.maximum(values, 0),
    "tanh": np.tanh,
    "logistic": expit,
    "identity": lambda values: values,
}


class CompactNetwork(NamedTuple):
    """Weights (n_in, n_out) and biases (n_out,) of the layers, and which hidden units are left."""

    coefs: list[NDArray[np.floating]]
    intercepts: list[NDArray[np.floating]]
    kept_units: list[NDArray[np.bool_]]


def compact(
    coefs: Sequence[NDArray[np.floating]], intercepts: Sequence[NDArray[np.floating]], activation: str
) -> CompactNetwork:
    """Take out every hidden unit whose output is constant or used by nobody.

    A unit without incoming weights always puts out the same, ``activation(bias)``: that constant is added
    to the biases of the next layer. A unit without outgoing weights is dropped.

    Parameters
    ----------
    coefs, intercepts : sequences of ndarray
        As in a fitted classifier, zeros where pruned; they are not changed.
    activation : str
        Of the hidden layers.

    Returns
    -------
    CompactNetwork
        The arrays passed in themselves where nothing could be taken out.
    """
    coefs, intercepts = list(coefs), list(intercepts)
    reached, leading = reachable([coef != 0 for coef in coefs])
    for layer, alive in enumerate(reached[1:-1]):
        if not alive.all():
            constants = np.where(alive, 0, _ACTIVATIONS[activation](intercepts[layer])).astype(coefs[layer].dtype)
            if constants.any():
                intercepts[layer + 1] = intercepts[layer + 1] + constants @ coefs[layer + 1]
    kept = [alive & used for alive, used in zip(reached[1:-1], leading[1:-1], strict=True)]
    if all(units.all() for units in kept):
        return CompactNetwork(coefs, intercepts, kept)
    ends = [np.ones(coefs[0].shape[0], dtype=bool), *kept, np.ones(coefs[-1].shape[1], dtype=bool)]
    for layer, (rows, columns) in enumerate(itertools.pairwise(ends)):
        coefs[layer] = coefs[layer][np.ix_(rows, columns)]
        intercepts[layer] = intercepts[layer][columns]
    return CompactNetwork(coefs, intercepts, kept)
