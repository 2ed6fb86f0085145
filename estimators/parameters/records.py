"""The record of every parameter, in the order of the command line and the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend import PRECISIONS
from ..pruning.catalogue import (
    CRITERION_SUMMARIES,
    DISTRIBUTION_SUMMARIES,
    DISTRIBUTIONS,
    GRANULARITIES,
    NORMALIZATION_SUMMARIES,
    NORMALIZATIONS,
    NORMS,
    ORDERS,
    REDUCTION_SUMMARIES,
    REDUCTIONS,
    SCOPES,
)
from ..pruning.patterns import MAX_EXTENT, USUAL_PATTERNS, parse_pattern
from ..registry import ESTIMATORS
from ..schedules.catalogue import CONTROL_SUMMARIES, CONTROLS, SCHEDULE_RECORDS, SCHEDULES, USED_BY
from .record import Parameter
from .values import (
    MAX_CELLS,
    MAX_WIDTH,
    at_least,
    class_weights,
    depth,
    device,
    flag,
    folder,
    layer_name,
    layers,
    module,
    norm,
    number,
    one_of,
    one_or_several,
    or_name,
    or_none,
    pattern,
    sample_shape,
    seed,
    sparsity,
    tolerance,
    verbosity,
    whole,
    widths,
)

SOLVERS = ("adam", "sgd")
INITS = ("uniform", "glorot")
LEARNING_RATES = ("constant", "cosine", "step")
PADDINGS = ("valid", "same")
CELLS = ("lstm", "gru", "rnn")
SHORTCUTS = ("projection", "padding")
AUGMENTATIONS = ("none", "crop", "crop-flip")
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")

FINE_TUNE_SUMMARIES = {
    "auto": "as in training, from its beginning",
    "constant": "the same step size throughout",
    "cosine": "falls to zero",
    "rewind": "the step sizes of the last epochs of training",
}
FINE_TUNE_SCHEDULES = tuple(FINE_TUNE_SUMMARIES)

#: Criteria for which it makes no difference, or only that of another norm, how weights make the score of a unit.
_ONE_REDUCTION = {"magnitude", "lamp", "random", "activation", "apoz", "activity"}

_CNN = ("cnn",)
_MODULE = ("module",)
_RNN = ("rnn",)
_RESNET = ("resnet",)
_IMAGES = ("cnn", "resnet")
_LAYERED = ("mlp", "cnn")


def _criteria() -> list[str]:
    """Also those that a user registered."""
    from ..pruning.criteria import criterion_names

    return criterion_names()


def _matters_to_units(values: Mapping[str, Any]) -> bool:
    """Whether it matters how the scores of weights make that of a unit."""
    is_default = values["reduce"] == ("auto",) and set(values["criterion"]) <= _ONE_REDUCTION
    return "unit" in values["granularity"] and not is_default


def _is_normalised(values: Mapping[str, Any]) -> bool:
    """Whether the network has batch normalisation: always, or by a parameter."""
    return values.get("estimator") in _RESNET or bool(values.get("batch_norm"))


def _is_retrained(values: Mapping[str, Any]) -> bool:
    return values.get("fine_tune_iter") != 0


def _is_of_weights_by_layer(values: Mapping[str, Any]) -> bool:
    return values["granularity"] == ("weight",) and values["scope"] == ("layer",)


def _is_used(name: str):
    """Whether one of the schedules uses a parameter."""
    return lambda values: not set(USED_BY[name]).isdisjoint(values["schedule"])


NETWORK = (
    Parameter(
        "channels",
        (20, 50),
        widths(),
        "network",
        "filters of each convolution",
        "N,N,...",
        label="filters",
        hint="20 50",
        estimators=_CNN,
    ),
    Parameter(
        "kernel_size",
        5,
        whole(1, MAX_WIDTH),
        "network",
        "height and width of the filters",
        "N",
        label="filter size",
        estimators=_CNN,
    ),
    Parameter(
        "pooling",
        2,
        whole(1, MAX_WIDTH),
        "network",
        "windows of max pooling after each convolution; 1: none",
        "N",
        label="pooling",
        estimators=_CNN,
    ),
    Parameter(
        "padding",
        "valid",
        one_of(PADDINGS),
        "network",
        "valid, or same: zeros around the maps keep their size",
        label="padding",
        notes={"valid": "filters stay within the maps, which shrink", "same": "zeros around the maps keep their size"},
        estimators=_CNN,
    ),
    Parameter(
        "depth",
        8,
        depth(),
        "network",
        "layers with weights: 8, 14, 20 or another 6n+2",
        "N",
        label="depth",
        hint="8, 14, 20, ...",
        estimators=_RESNET,
    ),
    Parameter(
        "width",
        16,
        one_or_several(),
        "network",
        "channels of the first stage, which double in the second and third",
        "N",
        label="width",
        hint="16",
        estimators=_RESNET,
    ),
    Parameter(
        "shortcut",
        "projection",
        one_of(SHORTCUTS),
        "network",
        "projection, or padding: how a shortcut changes its width",
        label="shortcut",
        notes={"projection": "a convolution of 1x1", "padding": "every second position, and zeros in new channels"},
        estimators=_RESNET,
    ),
    Parameter(
        "hidden_layer_sizes",
        (1000, 1000, 500, 200),
        widths(),
        "network",
        "units of each hidden layer",
        "N,N,...",
        ("--layers",),
        label="layers",
        hint="300 100",
        estimators=_LAYERED,
        defaults={"cnn": (500,)},
    ),
    Parameter(
        "cell",
        "lstm",
        one_of(CELLS),
        "network",
        "lstm, gru or rnn",
        label="cell",
        notes={"lstm": "long short-term memory", "gru": "gated recurrent unit", "rnn": "plain cell with tanh"},
        estimators=_RNN,
    ),
    Parameter(
        "hidden_size",
        128,
        one_or_several(),
        "network",
        "units of all recurrent layers, or of each layer (and direction)",
        "N,...",
        label="hidden units",
        hint="128",
        estimators=_RNN,
    ),
    Parameter(
        "n_layers",
        1,
        whole(1, MAX_CELLS),
        "network",
        "recurrent layers",
        "N",
        label="cell layers",
        estimators=_RNN,
    ),
    Parameter(
        "bidirectional",
        False,
        flag(),
        "network",
        "also read the sequence from its end",
        label="bidirectional",
        estimators=_RNN,
    ),
    Parameter(
        "input_size",
        None,
        or_none(whole(1, MAX_WIDTH), f"None or a whole number from 1 to {MAX_WIDTH:,}"),
        "network",
        "units of a linear layer before the cells",
        "N",
        default_words="no such layer",
        label="input layer",
        hint="none",
        estimators=_RNN,
    ),
    Parameter(
        "activation",
        "relu",
        one_of(ACTIVATIONS),
        "network",
        "relu, tanh, logistic or identity",
        estimators=_LAYERED,
    ),
    Parameter(
        "fit_intercept",
        False,
        flag(),
        "network",
        "use biases",
        label="biases",
        estimators=("mlp",),
    ),
    Parameter(
        "batch_norm",
        False,
        flag(),
        "network",
        "normalise the outputs of the convolutions",
        label="batch norm",
        estimators=_CNN,
    ),
    Parameter(
        "sample_shape",
        None,
        sample_shape(),
        "network",
        "height and width of the images in a row (steps and features), or channels, height and width",
        "N,N",
        default_words="square images",
        estimators=(*_IMAGES, *_RNN, *_MODULE),
    ),
    Parameter(
        "init",
        "uniform",
        one_of(INITS),
        "network",
        "uniform or glorot: how the weights begin",
        estimators=ESTIMATORS,
    ),
    Parameter("module", None, module(), "network", estimators=_MODULE, is_stored=False, is_of_run=False),
    Parameter(
        "output_layer",
        None,
        or_none(layer_name(), "None or the name of a layer"),
        "network",
        estimators=_MODULE,
        is_stored=False,
        is_of_run=False,
    ),
)

TRAINING = (
    Parameter(
        "solver",
        "adam",
        one_of(SOLVERS),
        "training",
        "adam or sgd",
    ),
    Parameter(
        "max_iter",
        20,
        whole(1),
        "training",
        "passes over the data",
        "N",
        ("--epochs",),
        label="epochs",
    ),
    Parameter(
        "batch_size",
        100,
        whole(1),
        "training",
        "samples in a mini-batch",
        "N",
        label="batch",
    ),
    Parameter(
        "learning_rate",
        "constant",
        one_of(LEARNING_RATES),
        "training",
        "constant, cosine: falls to zero, or step: a tenth after 1/2 and 3/4 of the epochs",
    ),
    Parameter(
        "learning_rate_init",
        0.001,
        number(0, open_low=True),
        "training",
        "step size",
        "X",
        ("--lr",),
        label="learning rate",
    ),
    Parameter(
        "momentum",
        0.9,
        number(0, 1, open_high=True),
        "training",
        "for sgd",
        "X",
    ),
    Parameter(
        "alpha",
        0.0,
        number(0),
        "training",
        "strength of the L2 penalty",
        "X",
    ),
    Parameter(
        "max_grad_norm",
        None,
        or_none(number(0, open_low=True), "None or a number above 0"),
        "training",
        "scale the gradients of a step down to this norm",
        "X",
        default_words="as they are",
    ),
    Parameter(
        "augment",
        "none",
        one_of(AUGMENTATIONS),
        "training",
        "none, crop or crop-flip: random parts of the images, or also their mirror images",
        label="augment",
        notes={
            "none": "the images as they are",
            "crop": "random parts of the images with a border",
            "crop-flip": "random parts, half of them mirrored",
        },
        estimators=_IMAGES,
    ),
    Parameter(
        "tol",
        1e-4,
        tolerance(),
        "training",
        "minimum improvement of the loss",
        "X",
    ),
    Parameter(
        "n_iter_no_change",
        10,
        whole(1),
        "training",
        "stop after N epochs without one",
        "N",
    ),
    Parameter(
        "early_stopping",
        False,
        flag("measure"),
        "training",
        "watch held-out data and keep the best epoch, or measure only",
    ),
    Parameter(
        "validation_fraction",
        0.1,
        number(0, 1, open_low=True, open_high=True),
        "training",
        "fraction of the data to hold out",
        "X",
    ),
    Parameter(
        "random_state",
        None,
        seed(),
        "training",
        "the (first) seed",
        "N",
        ("--seed",),
        default_words="0",
        is_of_run=False,
    ),
    Parameter(
        "class_weight",
        None,
        class_weights(),
        "training",
        "balanced: rare classes count as much as frequent ones",
    ),
    Parameter("verbose", False, verbosity(), "training", is_of_run=False),
    Parameter("warm_start", False, flag(), "training", is_of_run=False),
)

PRUNING = (
    Parameter("sparsity", 0.0, sparsity(), "pruning", is_of_run=False),
    Parameter(
        "schedule",
        "one-shot",
        one_of(SCHEDULES),
        "pruning",
        "when to prune: see below",
        label="schedule",
        notes={name: record.summary for name, record in SCHEDULE_RECORDS.items()},
        is_way=True,
    ),
    Parameter(
        "criterion",
        "magnitude",
        one_of(_criteria),
        "pruning",
        "by what to judge: see below",
        label="criterion",
        notes=CRITERION_SUMMARIES,
        is_way=True,
    ),
    Parameter(
        "granularity",
        "weight",
        one_of(GRANULARITIES),
        "pruning",
        "weight or unit",
        default_words="sweep: both; fit: weight",
        label="granularity",
        choice_labels={"weight": "weights", "unit": "units"},
        is_way=True,
    ),
    Parameter(
        "scope",
        "layer",
        one_of(SCOPES),
        "pruning",
        "layer or global",
        label="scope",
        is_way=True,
    ),
    Parameter(
        "norm",
        2,
        norm(NORMS),
        "pruning",
        "1, 2 or inf: how weights make the score of a unit",
        "P",
        label="norm",
        choice_labels=dict(zip(NORMS, ("L1", "L2", "largest"), strict=True)),
        is_way=True,
    ),
    Parameter(
        "order",
        "smallest",
        one_of(ORDERS),
        "pruning",
        "remove the smallest or the largest",
        label="remove first",
        is_way=True,
    ),
    Parameter(
        "normalize",
        "auto",
        one_of(NORMALIZATIONS),
        "pruning",
        "none, mean or max: of the scores of a layer's units",
        default_words="auto: mean with --scope global",
        label="normalize",
        notes=NORMALIZATION_SUMMARIES,
        matters=lambda values: "unit" in values["granularity"] and "global" in values["scope"],
        is_way=True,
    ),
    Parameter(
        "reduce",
        "auto",
        one_of(REDUCTIONS),
        "pruning",
        "norm or sum: a unit's score from its weights'",
        default_words="by the criterion",
        label="reduce",
        notes=REDUCTION_SUMMARIES,
        matters=_matters_to_units,
        is_way=True,
    ),
    Parameter(
        "control",
        "none",
        one_of(CONTROLS),
        "pruning",
        "what to compare the result with: see below",
        label="control",
        notes=CONTROL_SUMMARIES,
        is_way=True,
    ),
    Parameter(
        "per_output",
        False,
        flag(),
        "pruning",
        "rank the weights into each unit by themselves, as wanda's paper",
        label="rank per unit",
        matters=_is_of_weights_by_layer,
    ),
    Parameter(
        "prune_output",
        False,
        flag("half"),
        "pruning",
        "prune the output layer as well, or at half the rate",
        label="output layer",
        choice_labels={False: "not pruned", True: "pruned", "half": "at half the rate"},
    ),
    Parameter(
        "prune_residual",
        False,
        flag(),
        "pruning",
        "prune the channels of the residual stream, too",
        label="prune stream",
        matters=lambda values: "unit" in values["granularity"],
        estimators=_RESNET,
    ),
    Parameter(
        "recalibrate",
        False,
        flag(),
        "pruning",
        "re-estimate the statistics of batch normalisation after pruning",
        label="recalibrate",
        matters=_is_normalised,
        estimators=_IMAGES,
    ),
    Parameter(
        "fine_tune_iter",
        0,
        whole(0),
        "pruning",
        "epochs of retraining after pruning",
        "N",
        label="fine-tuning",
        hint="epochs after pruning",
    ),
    Parameter(
        "fine_tune_learning_rate",
        None,
        or_none(number(0, open_low=True), "None or a number above 0"),
        "pruning",
        "step size of the retraining",
        "X",
        default_words="as in training",
        label="fine-tune rate",
        hint="as in training",
        matters=_is_retrained,
    ),
    Parameter(
        "fine_tune_schedule",
        "auto",
        one_of(FINE_TUNE_SCHEDULES),
        "pruning",
        "constant, cosine, or rewind: the last step sizes of the training again",
        default_words="as --learning-rate",
        label="retraining",
        notes=FINE_TUNE_SUMMARIES,
        matters=_is_retrained,
        is_way=True,
    ),
    Parameter(
        "n_rounds",
        5,
        or_name(whole(1), "auto"),
        "pruning",
        "rounds of iterative and rewind; auto: 20 % a round",
        "N",
        label="rounds",
        hint="5, or auto",
        matters=_is_used("n_rounds"),
    ),
    Parameter(
        "rewind_step",
        0,
        whole(0),
        "pruning",
        "go back to the weights of this step",
        "N",
        label="rewind to step",
        matters=_is_used("rewind_step"),
    ),
    Parameter(
        "exclude_layers",
        (),
        layers(),
        "pruning",
        "layers that are not pruned, such as hidden1,conv1",
        "NAME,...",
        default_words="none",
        label="exclude",
        hint="hidden1 conv1",
    ),
    Parameter(
        "min_kept",
        0,
        at_least(),
        "pruning",
        "weights or units that every layer keeps at least; below 1: the fraction of them",
        "N",
        label="keep at least",
        hint="a number or fraction",
    ),
    Parameter(
        "distribution",
        "auto",
        one_of(DISTRIBUTIONS),
        "pruning",
        "how much each layer loses: uniform, or erk: small layers less",
        spellings=("--density-distribution",),
        default_words="uniform; set and rigl: erk",
        label="distribution",
        notes=DISTRIBUTION_SUMMARIES,
        matters=lambda values: _is_of_weights_by_layer(values) or _is_used("distribution")(values),
        is_way=True,
    ),
    Parameter(
        "pattern",
        "none",
        pattern(parse_pattern, USUAL_PATTERNS, MAX_EXTENT),
        "pruning",
        "of removed weights: N:M, such as 2:4 (2 kept of 4), or blocks of outputs times inputs, such as 4x1",
        label="pattern",
        matters=lambda values: values["granularity"] == ("weight",),
        is_way=True,
    ),
)

MACHINE = (
    Parameter(
        "device",
        "auto",
        device(),
        "machine",
        "auto, cpu, cuda, cuda:N or mps",
        label="device",
        field_choices=("auto", "cpu", "cuda", "mps"),
    ),
    Parameter(
        "precision",
        "auto",
        one_of(PRECISIONS),
        "machine",
        "auto, float32 or bfloat16",
        label="precision",
        defaults={"module": "float32"},
    ),
    Parameter(
        "memory",
        None,
        folder(),
        "machine",
        "keep trainings in this folder and reuse them",
        "DIR",
        default_words="",
        is_stored=False,
        is_of_run=False,
    ),
)

RECORDS = (*NETWORK, *TRAINING, *PRUNING, *MACHINE)
