"""MNIST-1D: sequences of 40 numbers in ten classes, generated instead of downloaded.

A logistic regression reaches about 32 % on them, a multi-layer perceptron 68 %, recurrent and convolutional networks
more than 90 %: small data that tell architectures apart (S. Greydanus, D. Kobak, "Scaling Down Deep Learning with
MNIST-1D", ICML 2024; arXiv 2011.14439, 2020). The numbers are those of the data set that the authors publish: the same
procedure, with the same random generator and seed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Numbers of a sequence, classes, sequences of each class, and how many of all are for training.
LENGTH, N_CLASSES, PER_CLASS, N_TRAIN = 40, 10, 500, 4000

_SEED = 42

#: The shape of each digit, drawn as the height of a line.
_SHAPES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)

#: Fewest and most zeros behind a shape, and the length that shape and zeros are stretched to.
_FEWEST, _MOST = 36, 60
_STRETCHED = len(_SHAPES[0]) + _MOST

_LARGEST_SHIFT = 48
_SCALES, _SHEAR = 0.4, 0.75
_NOISE_AROUND, _SMOOTHNESS, _NOISE = 0.25, 2, 0.02

#: Distinguishes a shape's own zeros from those behind it.
_EPSILON = 1e-8


class Sequences(NamedTuple):
    """Sequences of shape (n, `LENGTH`) with mean 0 and standard deviation 1 over all of them, and their classes."""

    X: NDArray[np.float64]
    y: NDArray[np.int64]


def make_mnist1d() -> Sequences:
    """Generate all 5,000 sequences; the first `N_TRAIN` are for training. Always the same, in about half a second."""
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.RandomState(_SEED)  # the generator of the authors' program
    templates = np.array(_SHAPES, dtype=float)
    templates -= templates.mean(axis=1, keepdims=True)
    templates /= templates.std(axis=1, keepdims=True)
    templates = (templates - templates[:, :1]) / 6
    smooth = partial(gaussian_filter1d, sigma=_SMOOTHNESS)
    X = np.stack([_disguised(template, rng, smooth) for template in templates for _ in range(PER_CLASS)])
    order = rng.permutation(len(X))
    X = X[order]
    return Sequences((X - X.mean()) / X.std(), np.repeat(np.arange(len(templates)), PER_CLASS)[order])


def _disguised(
    template: NDArray[np.float64], rng: np.random.RandomState, smooth: Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """A template at another place, of another size, sheared, and in noise."""
    n_zeros = _FEWEST + int(rng.rand() * (_MOST - _FEWEST + 1))
    signal = _stretched(np.concatenate([template + _EPSILON, np.zeros(n_zeros)]), _STRETCHED)
    signal *= 1 + _SCALES * (rng.rand() - 0.5)
    signal = np.roll(signal, rng.choice(_LARGEST_SHIFT))
    around = smooth(_NOISE_AROUND * rng.randn(len(signal)))
    signal = np.where(signal != 0, signal, around)
    signal = signal + _NOISE * rng.randn(len(signal))
    signal -= _SHEAR * (rng.rand() - 0.5) * np.linspace(-0.5, 0.5, len(signal))
    return _stretched(signal, LENGTH)


def _stretched(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Values at so many equal distances from the first to the last, interpolated linearly."""
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(values)), values)
