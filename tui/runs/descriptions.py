"""Descriptions of runs as text: for lists, headings and details."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.parameters import WAYS, defaults_of
from ...estimators.structures import STRUCTURES
from ...estimators.studies.catalogue import EXPERIMENTS
from .spec import RunSpec, preset_of

if TYPE_CHECKING:
    from .store import Run

#: Parameters that `training` describes separately, beside those of the network.
_DESCRIBED = ("max_iter", "batch_size", "solver", "learning_rate_init")


def title(run: Run, name: str | None = None) -> str:
    """The display name of a run: its name, else its id without the time, which commands accept as well."""
    return (run.name if name is None else name) or short_id(run)


def short_id(run: Run) -> str:
    """The id of a run without the time."""
    parts = run.id.split("-", 2)
    return parts[2] if len(parts) == 3 and parts[0].isdigit() and parts[1].isdigit() else run.id


def dataset(spec: RunSpec) -> str:
    """The name of the data set, or of its file."""
    return Path(spec.dataset).name


def widths(spec: RunSpec) -> str:
    """The hidden layers, from the input to the output: "300-100", "CNN 20-50-500", "LSTM 128"."""
    sizes = STRUCTURES[spec.estimator].widths(_parameters(spec))
    return with_estimator(spec, "-".join(map(str, sizes)) or "no hidden layer")


def layer_names(spec: RunSpec) -> list[str]:
    """What the layers with weights are called, if they are of different kinds; empty where their numbers are enough."""
    return STRUCTURES[spec.estimator].layers(_parameters(spec))


def unit_names(spec: RunSpec) -> list[str]:
    """What the groups of units are called; empty as `layer_names` is."""
    return STRUCTURES[spec.estimator].units(_parameters(spec))


def _parameters(spec: RunSpec) -> dict[str, Any]:
    return {**defaults_of(spec.estimator), **spec.parameters}


def with_estimator(spec: RunSpec, text: str) -> str:
    """A text about a network after the word for its kind, if it is no multi-layer perceptron."""
    return f"{STRUCTURES[spec.estimator].kind(_parameters(spec))} {text}".strip()


def preset(spec: RunSpec) -> str:
    """The title of the preset with the same settings; empty if there is none."""
    name = preset_of(spec)
    return EXPERIMENTS[name].title if name else ""


def what(spec: RunSpec) -> str:
    """The preset, else the network and the number of epochs."""
    if name := preset(spec):
        return name
    epochs = spec.parameter("max_iter")
    return f"{widths(spec)}, {epochs} epoch{'s' * (epochs != 1)}"


def short(spec: RunSpec) -> str:
    """The network and its data in a few words: "300-100 on mnist"."""
    name, data = preset_of(spec) or widths(spec), dataset(spec)
    return name if name == data else f"{name} on {data}"


def ways(spec: RunSpec) -> str:
    """The values that the run compares; if it has only one way of pruning, its granularity."""
    compared = [values for values in spec.ways.values() if len(values) > 1]
    compared = compared or [spec.ways.get("granularity", ("weight",))]
    return ", ".join("/".join(map(str, values)) for values in compared)


def training(spec: RunSpec) -> str:
    """Describe the network and its training in a sentence."""
    structure = STRUCTURES[spec.estimator]
    parts = [
        f"network {widths(spec)} ({', '.join(structure.words(_parameters(spec)))})",
        f"{spec.parameter('max_iter')} epochs in batches of {spec.parameter('batch_size')}",
        f"{spec.parameter('solver')} {spec.parameter('learning_rate_init'):g}",
    ]
    others = {name: value for name, value in spec.parameters.items() if name not in (*structure.described, *_DESCRIBED)}
    return "; ".join([*parts, *(f"{name} {value}" for name, value in others.items())])


def pruning(spec: RunSpec) -> str:
    """Describe the pruning, the sparsities and the seeds in a sentence."""
    parts = [f"{name} {'/'.join(map(str, spec.ways[name]))}" for name in WAYS if name in spec.ways]
    return "; ".join([*(parts or ["weights"]), f"sparsity {_range(spec.sparsities)}", f"seed {_range(spec.seeds)}"])


def _range(values: Sequence[Any]) -> str:
    if len(values) <= 3:
        return ", ".join(f"{value:g}" for value in values)
    return f"{min(values):g} to {max(values):g} ({len(values)} values)"


def size(n_bytes: int) -> str:
    """Format a number of bytes."""
    number = float(n_bytes)
    for unit in ("bytes", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def folder(path: Path) -> str:
    """A path, with ~ for the home directory."""
    home = Path(os.path.expanduser("~"))  # "~" itself if there is no home directory
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
