"""What the parameters of each estimator say about its network, without torch: for headings and the lab's form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .networks.shapes import cell_sizes, map_shapes, resnet_groups, resnet_layers

Parameters = Mapping[str, Any]


def _sizes(value: Any) -> list[int]:
    """A width, or several, or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) else [value]


def _numbered(kind: str, value: Any) -> list[str]:
    return [f"{kind}{i}" for i in range(1, len(_sizes(value)) + 1)]


@dataclass(frozen=True)
class Structure:
    """The network of an estimator, as its parameters describe it.

    Attributes
    ----------
    kind : callable
        Its kind in a word; empty of multi-layer perceptrons.
    widths : callable
        The widths of its layers, without the input and the output.
    layers, units : callable
        Names of the layers with weights, and of the groups of units; empty where their numbers are enough.
    words : callable
        What else there is to know: a few words each.
    problem : callable
        From the parameters and the shape of a sample to why there is no such network, in a sentence; empty if there is.
    described : tuple of str
        The parameters that the widths and the words cover.
    """

    kind: Callable[[Parameters], str]
    widths: Callable[[Parameters], list[int]]
    layers: Callable[[Parameters], list[str]]
    units: Callable[[Parameters], list[str]]
    words: Callable[[Parameters], list[str]]
    problem: Callable[[Parameters, Sequence[int]], str] = lambda *_: ""
    described: tuple[str, ...] = ()


def _layers_of_cnn(given: Parameters) -> list[str]:
    return [*_numbered("conv", given["channels"]), *_numbered("hidden", given["hidden_layer_sizes"]), "output"]


def _problem_of_cnn(given: Parameters, shape: Sequence[int]) -> str:
    sizes = (given[name] for name in ("kernel_size", "pooling", "padding"))
    sample = tuple(shape) if len(shape) > 1 else (*shape, 1)  # a sequence is a line
    try:
        map_shapes((sample[-2], sample[-1]), len(_sizes(given["channels"])), *sizes)
    except ValueError as error:
        return str(error)
    return ""


def _widths_of_rnn(given: Parameters) -> list[int]:
    try:
        sizes = cell_sizes(_sizes(given["hidden_size"]), given["n_layers"], False)
    except ValueError:  # each direction by itself, or a number of them that the form refuses
        sizes = tuple(_sizes(given["hidden_size"]))
    return [*_sizes(given["input_size"]), *sizes]


def _cells(given: Parameters) -> list[str]:
    directions = ("rnn", "backward") if given["bidirectional"] else ("rnn",)
    return [f"{direction}{i}" for i in range(1, given["n_layers"] + 1) for direction in directions]


def _units_of_rnn(given: Parameters) -> list[str]:
    return [*(["input"] if given["input_size"] is not None else []), *_cells(given), "output"]


def _layers_of_rnn(given: Parameters) -> list[str]:
    cells = [f"{cell}.{part}" for cell in _cells(given) for part in ("input", "recurrent")]
    return [*(["input"] if given["input_size"] is not None else []), *cells, "output"]


STRUCTURES = {
    "mlp": Structure(
        kind=lambda _: "",
        widths=lambda given: _sizes(given["hidden_layer_sizes"]),
        layers=lambda _: [],
        units=lambda _: [],
        words=lambda given: [given["activation"], f"{'with' if given['fit_intercept'] else 'no'} biases"],
        described=("hidden_layer_sizes", "activation", "fit_intercept"),
    ),
    "cnn": Structure(
        kind=lambda _: "CNN",
        widths=lambda given: [*_sizes(given["channels"]), *_sizes(given["hidden_layer_sizes"])],
        layers=_layers_of_cnn,
        units=_layers_of_cnn,
        words=lambda given: [given["activation"], "with biases"],
        problem=_problem_of_cnn,
        described=("channels", "hidden_layer_sizes", "activation"),
    ),
    "rnn": Structure(
        kind=lambda given: given["cell"].upper(),
        widths=_widths_of_rnn,
        layers=_layers_of_rnn,
        units=_units_of_rnn,
        words=lambda given: [
            *(["in both directions"] if given["bidirectional"] else []),
            *(["after a linear layer"] if given["input_size"] is not None else []),
            "with biases",
        ],
        described=("cell", "hidden_size", "n_layers", "bidirectional", "input_size"),
    ),
    "resnet": Structure(
        kind=lambda given: f"ResNet-{given['depth']}",
        widths=lambda given: (
            [w * 2**i for w in _sizes(given["width"]) for i in range(3)]
            if len(_sizes(given["width"])) == 1
            else _sizes(given["width"])
        ),
        layers=lambda given: resnet_layers(given["depth"], given["shortcut"]),
        units=lambda given: resnet_groups(given["depth"]),
        words=lambda given: [f"{given['shortcut']} shortcuts"],
        described=("depth", "width", "shortcut"),
    ),
}
