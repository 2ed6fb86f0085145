"""The studies: questions about pruning, and the experiments that answer them.

Plain data, as `presets`: importing this module loads neither torch nor scikit-learn.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..parameters import DEFAULTS
from ..presets import PRESETS, Preset

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the author of the original experiment found: accuracy at each sparsity.
AUTHORS_CURVES = {
    "weight": {
        0.0: 0.9715, 0.25: 0.9712, 0.50: 0.9700, 0.60: 0.9690, 0.70: 0.9677,
        0.80: 0.9484, 0.90: 0.8243, 0.95: 0.7203, 0.97: 0.6428, 0.99: 0.3188,
    },
    "unit": {
        0.0: 0.9715, 0.25: 0.9714, 0.50: 0.9698, 0.60: 0.9676, 0.70: 0.9463,
        0.80: 0.7266, 0.90: 0.3667, 0.95: 0.1929, 0.97: 0.1307, 0.99: 0.1012,
    },
}  # fmt: skip

#: Epochs of the shortest training of a quick study.
QUICK_EPOCHS = 15

LENET: dict[str, Any] = {"hidden_layer_sizes": (300, 100), "fit_intercept": True}


@dataclass(frozen=True)
class Study:
    """A question, the experiments that answer it, and what is compared with what.

    Attributes
    ----------
    question : str
        What is asked.
    parts : mapping of str to Preset
        Experiments by their label; one that stands alone has the label "".
    baseline : str
        The method that all others are compared with, at equal sparsity and from the same seeds.
    within : sequence of str
        Columns whose values are not compared, but kept apart: ways of pruning, or "part".
    compares_sparsities : bool
        Whether the sparsities are the methods, compared with the dense network.
    counts_as : mapping of str to float
        Parts that are dense networks with as few weights as the others have at a sparsity, and that sparsity.
    against_dense : sequence of str
        Columns in which every method's networks are compared with the dense ones too.
    shows_retraining : bool
        Whether the networks before their retraining are parts of their own.
    reports_shapes : bool
        Whether the answer describes each curve (see `prunelab.estimators.studies.shapes`).
    takes_estimator : bool
        Whether other networks can be asked the same; see `prunelab.estimators.studies.networks`.
    quick_parts : mapping of str to Preset, optional
        The experiments of the quick study, where they are not those of the study on the digits with fewer epochs.
    repeats_original : bool
        Whether the methods are those of the original experiment, whose author's curves are known on MNIST.
    seeds, quick_seeds : int
        How many networks are trained. Below five, a test that holds its error hardly finds anything.
    """

    question: str
    parts: Mapping[str, Preset]
    baseline: str
    within: tuple[str, ...] = ()
    compares_sparsities: bool = False
    counts_as: Mapping[str, float] = field(default_factory=dict)
    against_dense: tuple[str, ...] = ()
    shows_retraining: bool = False
    reports_shapes: bool = False
    takes_estimator: bool = False
    quick_parts: Mapping[str, Preset] | None = None
    repeats_original: bool = False
    seeds: int = 10
    quick_seeds: int = 5


def weights_of(hidden: tuple[int, ...], n_inputs: int = 784, n_classes: int = 10) -> tuple[int, int]:
    """Weights of a network that are pruned, and those of its output layer."""
    sizes = [n_inputs, *hidden]
    return sum(a * b for a, b in itertools.pairwise(sizes)), sizes[-1] * n_classes


def rounds_of(sparsity: float) -> int:
    """The rounds of pruning of a ticket with ``n_rounds="auto"``, each of which removes 20 % of what is left."""
    return max(1, math.ceil(math.log(1 - sparsity) / math.log(0.8) - 1e-9))


def _like(hidden: tuple[int, ...]) -> float:
    """The sparsity at which LeNet-300-100 has as many weights as a dense network of these widths has in all."""
    prunable, output = weights_of(LENET["hidden_layer_sizes"])
    return 1 - (sum(weights_of(hidden)) - output) / prunable


def _mnist(title: str, ways: Mapping[str, tuple[Any, ...]], sparsities: tuple[float, ...] | None = None, **parameters):
    """The original experiment with other ways of pruning, or parameters."""
    original = PRESETS["original"]
    return replace(
        original,
        title=title,
        ways=ways,
        parameters={**original.parameters, **parameters},
        sparsities=original.sparsities if sparsities is None else sparsities,
    )


_BOTH = ("weight", "unit")

#: Added to the label of a part whose networks are trained for as many updates as the baseline's in all of its rounds.
EQUAL_TOTAL = ", equal total updates"


def _for_epochs(preset: Preset, epochs: int) -> Preset:
    """The experiment with a longer training, all of whose epochs are run."""
    return replace(preset, parameters={**preset.parameters, "max_iter": epochs, "n_iter_no_change": epochs})


#: Epochs of a training, if nothing else is given.
_EPOCHS = PRESETS["original"].parameters["max_iter"]


def _small(hidden: tuple[int, ...]) -> Preset:
    """A dense network of other widths."""
    return _mnist("", {}, (0.0,), hidden_layer_sizes=hidden, fit_intercept=True)


#: Rungs of the ladder of 20 % a round: 51, 33, 21, 13, 7 and 4 % of the weights are left.
_RUNGS = (0.0, *(round(1 - 0.8**n, 14) for n in (3, 5, 7, 9, 12, 14)))
_SMALLER = {"150-50": (150, 50), "75-25": (75, 25), "38-12": (38, 12), "19-6": (19, 6)}

#: The lottery tickets' recipe (J. Frankle, M. Carbin, ICLR 2019, appendix G): 50,000 updates, 55,000 of MNIST's images
#: to train on and 5,000 for early stopping.
_OF_THE_PAPER: dict[str, Any] = {
    "n_rounds": "auto",
    "prune_output": "half",
    "init": "glorot",
    "batch_size": 60,
    "learning_rate_init": 1.2e-3,
    "max_iter": 55,
    "early_stopping": "measure",
    "validation_fraction": 1 / 12,
}
_STEEP = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
_SPARSE = (0.0, 0.8, 0.9, 0.95, 0.98)
_SPARSEST = (0.95, 0.98)
_UP_TO_99 = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.99)
#: Epochs after which wrong labels are learnt by heart; after 20, they hardly harm.
_MEMORISED = 80
_FEW = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.8)
_AT_FIRST = {
    "schedule": ("before-training",),
    "scope": ("global",),
    "criterion": ("snip", "grasp", "synflow"),
}
#: Ranked globally, initial magnitudes only reflect the layer: narrow layers have larger ones.
_AT_FIRST_BY_LAYER = {"schedule": ("before-training",), "criterion": ("magnitude", "random")}
_EARLY = {
    "before training": _AT_FIRST,
    "before training, by layer": _AT_FIRST_BY_LAYER,
    "while training": {"schedule": ("gradual", "set", "rigl")},
    "from the objective": {"schedule": ("l1", "l0")},
}
_ALL_CRITERIA = (
    "magnitude", "random", "taylor", "obd", "fisher", "wanda", "activation", "apoz", "movement", "activity",
)  # fmt: skip

_OF_MLP = {"learning_rate_init": 0.003, "alpha": 1e-4}
_OF_CELLS = {"learning_rate_init": 0.01, "max_grad_norm": 1.0}

#: Each architecture on MNIST: what differs from the defaults of its estimator.
_ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "MLP": ("mlp", {"max_iter": 4}),
    "CNN": ("cnn", dict(PRESETS["lenet-5"].parameters)),
    "GRU": ("rnn", {**PRESETS["lstm-128"].parameters, "cell": "gru"}),
    "LSTM": ("rnn", dict(PRESETS["lstm-128"].parameters)),
    "ResNet": ("resnet", {**PRESETS["resnet-8"].parameters, "recalibrate": False}),
}

#: The same on MNIST-1D.
_ON_SEQUENCES: dict[str, tuple[str, dict[str, Any]]] = {
    "MLP": ("mlp", {"hidden_layer_sizes": (512, 256, 128), "fit_intercept": True, "max_iter": 60, **_OF_MLP}),
    "CNN": (
        "cnn",
        {
            "channels": (32, 32, 32),
            "padding": "same",
            "hidden_layer_sizes": (),
            "max_iter": 40,
            "learning_rate_init": 0.003,
        },
    ),
    "GRU": ("rnn", {"cell": "gru", "hidden_size": 64, "max_iter": 40, **_OF_CELLS}),
    "LSTM": ("rnn", {"cell": "lstm", "hidden_size": 64, "max_iter": 80, **_OF_CELLS}),
    "ResNet": ("resnet", {"width": 8, "prune_residual": True, "max_iter": 30, "learning_rate_init": 0.01}),
}


def _architectures(networks: Mapping[str, tuple[str, dict[str, Any]]], dataset: str) -> dict[str, Preset]:
    """Each network, with an epoch of retraining; the ResNet also measured again instead of retrained."""

    def preset(estimator: str, parameters: dict[str, Any], **others: Any) -> Preset:
        given = {"learning_rate": "cosine", **parameters, "n_iter_no_change": parameters["max_iter"], **others}
        return Preset("", "", dataset, given, {"granularity": _BOTH}, estimator=estimator)

    found = {label: preset(*network, fine_tune_iter=1) for label, network in networks.items()}
    return {**found, "ResNet, recalibrated": preset(*networks["ResNet"], recalibrate=True)}


STUDIES: dict[str, Study] = {
    "original": Study(
        "What did the original experiment find, and does it find it again?",
        {"": _mnist("Original", {"granularity": _BOTH})},
        baseline="weight",
        repeats_original=True,
    ),
    "light-pruning": Study(
        "Does light pruning, of about 30 %, raise the accuracy?",
        {"": _mnist("Light pruning", {"granularity": _BOTH}, (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5))},
        baseline="0",
        within=("granularity",),
        compares_sparsities=True,
        seeds=30,
        quick_seeds=10,
        takes_estimator=True,
    ),
    "norms": Study(
        "Does it matter by which norm of its weights a unit is judged?",
        {"": _mnist("Norms", {"granularity": ("unit",), "norm": (1, 2, "inf")})},
        baseline="2",
        seeds=30,
        takes_estimator=True,
    ),
    "global": Study(
        "Is it better to rank across the whole network than layer by layer?",
        {
            "": _mnist("Global against layer", {"granularity": _BOTH, "scope": ("layer", "global")}),
            "global, raw norms": _mnist("", {"granularity": ("unit",), "scope": ("global",), "normalize": ("none",)}),
        },
        baseline="layer",
        within=("granularity",),
        seeds=30,
        takes_estimator=True,
    ),
    "largest": Study(
        "What happens if the largest weights or units are deleted?",
        {"": _mnist("Largest", {"granularity": _BOTH, "order": ("smallest", "largest")}, _FEW)},
        baseline="smallest",
        within=("granularity",),
        takes_estimator=True,
    ),
    "criteria": Study(
        "Which criterion is best, without retraining?",
        {"": _mnist("Criteria", {"granularity": _BOTH, "criterion": _ALL_CRITERIA}, _STEEP)},
        baseline="magnitude",
        within=("granularity",),
        takes_estimator=True,
    ),
    "noise": Study(
        "Does pruning help a network that has learnt wrong labels?",
        {
            f"{100 * noise:.0f} % of the labels wrong": replace(
                _for_epochs(_mnist("", {}, _UP_TO_99, **LENET, fine_tune_iter=5), _MEMORISED), label_noise=noise
            )
            for noise in (0.0, 0.2, 0.4)
        },
        baseline="0",
        within=("part",),
        compares_sparsities=True,
        shows_retraining=True,
        seeds=5,
    ),
    "architectures": Study(
        "Do all architectures share the curve: flat, a knee, a collapse?",
        _architectures(_ARCHITECTURES, "mnist"),
        baseline="weight",
        within=("part",),
        shows_retraining=True,
        reports_shapes=True,
        quick_parts=_architectures(_ON_SEQUENCES, "mnist1d"),
        seeds=5,
        quick_seeds=3,
    ),
    "biology": Study(
        "Is activity, by which microglia choose synapses, as good a guide as magnitude?",
        {
            "after training": _mnist("", {"criterion": ("magnitude", "activity", "random")}, _SPARSE, **LENET),
            "while training": _mnist("", {"schedule": ("gradual", "synaptic")}, _SPARSE, **LENET),
        },
        baseline="while training: gradual",
    ),
    "tickets": Study(
        "Does a pruned network learn from its own initial weights what it does not learn from others?",
        {
            "": replace(
                _mnist(
                    "",
                    {"schedule": ("rewind", "rewind-reinit", "rewind-shuffle")},
                    _RUNGS,
                    **LENET,
                    **_OF_THE_PAPER,
                ),
                pixels="unit",
            )
        },
        baseline="rewind",
        against_dense=("accuracy", "early_stop_accuracy", "early_stop_step"),
        seeds=5,
    ),
    "why-large": Study(
        "Why not train the small network from the beginning?",
        {
            "ticket of 300-100": _mnist(
                "", {"schedule": ("rewind",)}, (0.0, *map(_like, _SMALLER.values())), **LENET, n_rounds="auto"
            ),
            **{f"{name} from the beginning": _small(hidden) for name, hidden in _SMALLER.items()},
            **{
                f"{name} from the beginning{EQUAL_TOTAL}": _for_epochs(
                    _small(hidden), _EPOCHS * (1 + rounds_of(_like(hidden)))
                )
                for name, hidden in _SMALLER.items()
            },
        },
        baseline="ticket of 300-100",
        counts_as={
            f"{name} from the beginning{budget}": _like(hidden)
            for budget in ("", EQUAL_TOTAL)
            for name, hidden in _SMALLER.items()
        },
    ),
    "early-tickets": Study(
        "Can winning tickets be found before training, during training, or from the objective?",
        {
            "found afterwards": _mnist("", {"schedule": ("rewind",)}, _SPARSE, **LENET),
            **{label: _mnist("", ways, _SPARSE, **LENET) for label, ways in _EARLY.items()},
            **{
                f"{label}{EQUAL_TOTAL}": _for_epochs(
                    _mnist("", ways, _SPARSEST, **LENET), _EPOCHS * (1 + DEFAULTS["n_rounds"])
                )
                for label, ways in _EARLY.items()
            },
        },
        baseline="found afterwards",
        seeds=5,
    ),
}


def _experiments_of_studies() -> dict[str, Preset]:
    """The parts of the studies that prune, each as a preset of its own, but those that are one already."""
    known = [_essence(preset) for preset in PRESETS.values()]
    found = {}
    for name, study in STUDIES.items():
        for label, part in study.parts.items():
            if len(part.sparsities) > 1 and _essence(part) not in known:
                title = f"Study {name}{': ' + label if label else ''}"
                described = study.question[0].lower() + study.question[1:].rstrip("?")
                found[title.lower()] = replace(
                    part, title=title, description=f"{described}: prunelab study {name} says it", seeds=study.seeds
                )
    return found


def _essence(preset: Preset) -> tuple[Any, ...]:
    return preset.dataset, preset.pixels, preset.label_noise, preset.parameters, preset.ways, preset.sparsities


#: All named experiments: the presets, and those of the studies.
EXPERIMENTS = {**PRESETS, **_experiments_of_studies()}


def parts_of(study: Study, quick: bool = False) -> dict[str, Preset]:
    """The experiments of a study; quick, on the digits and with fewer epochs, minutes become seconds.

    The ratios between the trainings of the parts stay the same.
    """
    if not quick:
        return dict(study.parts)
    if study.quick_parts is not None:
        return dict(study.quick_parts)
    shortest = min(preset.parameters["max_iter"] for preset in study.parts.values())
    return {label: _quick(preset, QUICK_EPOCHS / shortest) for label, preset in study.parts.items()}


def _quick(preset: Preset, factor: float) -> Preset:
    smaller = {"hidden_layer_sizes": (300, 100), **preset.parameters}
    shorter = replace(preset, dataset="digits", parameters=smaller)
    return _for_epochs(shorter, round(factor * preset.parameters["max_iter"]))
