"""Named experiments, and the values that describe one.

Plain data: importing this module loads neither torch nor scikit-learn, so that a program which only shows
what there is to choose from starts at once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The sparsities of the original experiment.
ORIGINAL_SPARSITIES = (0.0, 0.25, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99)

BOTH_GRANULARITIES = {"granularity": ("weight", "unit")}


@dataclass(frozen=True)
class Preset:
    """A named experiment.

    Attributes
    ----------
    title : str
        A few words.
    description : str
        One sentence.
    dataset : str
        Its data.
    parameters : mapping
        What differs from the estimator's defaults.
    ways : mapping of str to sequence
        Values of `prunelab.estimators.parameters.WAYS` to compare; every combination is a curve.
    sparsities : sequence of float
    seeds : int
        How many networks are trained.
    pixels : {"auto", "signed", "unit", "standard"}
        How pixels are scaled; see `load_dataset`.
    label_noise : float
        The fraction of the training labels that are wrong.
    estimator : str
        A name in `prunelab.estimators.registry`.
    """

    title: str
    description: str
    dataset: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ways: Mapping[str, Sequence[Any]] = field(default_factory=lambda: dict(BOTH_GRANULARITIES))
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES
    seeds: int = 1
    pixels: str = "auto"
    label_noise: float = 0.0
    estimator: str = "mlp"


PRESETS = {
    "digits": Preset(
        "Original, on digits",
        "the original network and pruning on the small digits that ship with scikit-learn, 20 epochs",
        dataset="digits",
        parameters={"max_iter": 20},
    ),
    "original": Preset(
        "Original, on MNIST",
        'the experiment "Experiments in Pruning": 784-1000-1000-500-200-10 without biases on MNIST, 3 epochs',
        dataset="mnist",
        parameters={"max_iter": 3},
    ),
    "quick": Preset(
        "Quick look",
        "a small network on the digits: every part of the experiment in two or three seconds",
        dataset="digits",
        parameters={"hidden_layer_sizes": (300, 100), "max_iter": 8},
    ),
    "global": Preset(
        "Global against layer",
        "ranking weights and units across the whole network against ranking them layer by layer",
        dataset="digits",
        parameters={"max_iter": 20},
        ways={"granularity": ("weight", "unit"), "scope": ("layer", "global")},
    ),
    "largest": Preset(
        "Largest against smallest",
        "what happens if the largest weights or units are deleted instead of the smallest",
        dataset="digits",
        parameters={"max_iter": 20},
        ways={"granularity": ("weight", "unit"), "order": ("smallest", "largest")},
    ),
    "lenet-5": Preset(
        "LeNet-5, on MNIST",
        "the convolutional network of the pruning literature: 20 and 50 filters of 5x5, 500 hidden units, 4 epochs",
        dataset="mnist",
        parameters={"max_iter": 4, "learning_rate": "cosine"},
        estimator="cnn",
    ),
    "small-cnn": Preset(
        "Small CNN, on digits",
        "16 and 32 filters of 3x3 and 64 hidden units on the digits: filters and weights in a few seconds",
        dataset="digits",
        parameters={
            "channels": (16, 32),
            "kernel_size": 3,
            "padding": "same",
            "hidden_layer_sizes": (64,),
            "batch_size": 50,
            "max_iter": 15,
        },
        estimator="cnn",
    ),
    "lstm-128": Preset(
        "LSTM-128, MNIST by rows",
        "an LSTM of 128 units that reads the rows of MNIST's images as a sequence of 28 steps, 4 epochs",
        dataset="mnist",
        parameters={"max_iter": 4, "learning_rate": "cosine", "max_grad_norm": 1.0},
        estimator="rnn",
    ),
    "small-gru": Preset(
        "Small GRU, on digits",
        "a GRU of 48 units that reads the rows of the digits: weights and units in a few seconds",
        dataset="digits",
        parameters={
            "cell": "gru",
            "hidden_size": 48,
            "batch_size": 50,
            "learning_rate_init": 0.003,
            "max_iter": 15,
        },
        estimator="rnn",
    ),
    "resnet-8": Preset(
        "ResNet-8, on Fashion-MNIST",
        "a residual network with 8 layers on photographs of clothes, 4 epochs, measured again after pruning",
        dataset="fashion-mnist",
        parameters={
            "max_iter": 4,
            "learning_rate": "cosine",
            "learning_rate_init": 0.005,
            "recalibrate": True,
            "prune_residual": True,
        },
        estimator="resnet",
    ),
    "small-resnet": Preset(
        "Small ResNet, on digits",
        "a residual network with 8 layers of 8, 16 and 32 channels on the digits, measured again after pruning",
        dataset="digits",
        parameters={
            "width": 8,
            "batch_size": 50,
            "max_iter": 10,
            "learning_rate": "cosine",
            "learning_rate_init": 0.01,
            "recalibrate": True,
            "prune_residual": True,
        },
        estimator="resnet",
    ),
}


def variants_of(ways: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, a mapping of parameters each; ``[{}]`` if there are none."""
    return [dict(zip(ways, values, strict=True)) for values in itertools.product(*ways.values())]
