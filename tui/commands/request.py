"""The run that the options of a command describe, and its data."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimators.parameters import PARAMETERS, WAYS
from ...estimators.presets import PRESETS
from ...estimators.registry import ESTIMATORS
from ..exit_status import UsageError
from ..streams import print_message
from .common import usage_errors

if TYPE_CHECKING:
    import argparse

    from sklearn.utils import Bunch

    from ...estimators.data.source import DataOptions, DataSource
    from ..runs.spec import RunSpec


def spec_of(options: argparse.Namespace, several: bool) -> RunSpec:
    """The run that the options and the preset describe; `several` for a sweep, which compares values."""
    from ..runs.spec import SpecError, check_name

    spec = _experiment(options)
    given = _given_parameters(options, spec)
    ways = {name: getattr(options, name) for name in WAYS if hasattr(options, name)}
    ways = {name: tuple(value if several else [value]) for name, value in ways.items()}
    first_seed = getattr(options, "random_state", 0)
    if several:
        changes = {
            "ways": {**spec.ways, **ways},
            "sparsities": tuple(options.sparsities or spec.sparsities),
            "seeds": tuple(range(first_seed, first_seed + options.seeds)),
        }
    else:
        ways = {**_one_way_of(spec), **ways}
        for name, values in ways.items():
            if len(values) > 1:
                raise UsageError(
                    f"the preset {options.preset} compares several ways of pruning, and fit uses one: "
                    f"add --{name.replace('_', '-')} {' or '.join(map(str, values))}"
                )
        changes = {"ways": ways, "sparsities": tuple(sorted({0.0, options.sparsity})), "seeds": (first_seed,)}
    spec = dataclasses.replace(
        spec,
        dataset=options.dataset or spec.dataset,
        pixels=options.pixels or (spec.pixels if options.dataset in (None, spec.dataset) else "auto"),
        options=options_of(options, spec.options.label_noise),
        data_root=options.data_root,
        parameters={**spec.parameters, **given},
        **changes,
    )
    try:
        spec = dataclasses.replace(spec, name=check_name(options.name or ""))
        spec.check()
    except SpecError as error:
        raise UsageError(str(error)) from error
    return spec


def _experiment(options: argparse.Namespace) -> RunSpec:
    """The experiment that the other options modify: that of the preset, with the requested estimator."""
    from ..runs.spec import RunSpec

    if options.preset is None:
        return RunSpec(estimator=options.estimator or RunSpec.estimator)
    if options.preset not in PRESETS:
        raise UsageError(f"there is no preset {options.preset!r}; the presets are {', '.join(PRESETS)}")
    spec = RunSpec.from_preset(options.preset)
    return spec.with_estimator(options.estimator or spec.estimator)


def _given_parameters(options: argparse.Namespace, spec: RunSpec) -> dict[str, Any]:
    """The parameters that options set; UsageError for one that the estimator does not have."""
    from ..runs.spec import parameters_of

    names = dict.fromkeys(name for estimator in ESTIMATORS for name in parameters_of(estimator))
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    for name in given:
        if name not in parameters_of(spec.estimator):
            others = [other for other in ESTIMATORS if name in parameters_of(other)]
            raise UsageError(
                f"{PARAMETERS[name].option} is an option of --estimator {' or '.join(others)}, and this is "
                f"--estimator {spec.estimator}"
            )
    return given


def _one_way_of(spec: RunSpec) -> dict[str, Any]:
    """The ways of pruning of a preset; weights if it prunes both weights and units."""
    return {name: values for name, values in spec.ways.items() if name != "granularity" or len(values) == 1}


def check_here(spec: RunSpec, options: argparse.Namespace) -> Bunch:
    """Refuse a run that this machine cannot compute before anything is written; returns the data."""
    from ...estimators.backend import resolve_device

    with usage_errors():
        resolve_device(spec.parameter("device"))
    data = load(spec.source, options)
    check_network(spec, data)
    return data


def check_network(spec: RunSpec, data: Bunch) -> None:
    """Refuse a network that cannot be built for these data."""
    from ...estimators.engine import check_layers
    from ...estimators.studies.run import with_sample_shape

    try:
        estimator = with_sample_shape(spec.make_estimator(), data)
        network = estimator.make_network(data.X_train.shape[1:], len(data.class_names))
        check_layers(estimator, network, 0.0)
    except ValueError as error:
        presets = (name for name, preset in PRESETS.items() if (preset.estimator, preset.dataset) == _network_of(spec))
        hint = "".join(f"; --preset {name} fits {spec.dataset}" for name in itertools.islice(presets, 1))
        raise UsageError(f"{error}{hint}") from error


def _network_of(spec: RunSpec) -> tuple[str, str]:
    return spec.estimator, spec.dataset


def options_of(options: argparse.Namespace, label_noise: float = 0.0) -> DataOptions:
    """The options that describe the data; `label_noise` applies if the command line sets none."""
    from ...estimators.data.source import DataOptions

    given = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(DataOptions)}
    noise = given.pop("label_noise")
    return DataOptions(**given, label_noise=label_noise if noise is None else noise)  # type: ignore[arg-type]


def from_anywhere(spec: RunSpec) -> RunSpec:
    """The same experiment with absolute paths, for a process with another working directory."""

    def absolute(path: str) -> str:
        return str(Path(os.path.expanduser(path)).absolute())

    test = spec.options.test
    return dataclasses.replace(
        spec,
        dataset=absolute(spec.dataset) if os.path.isfile(os.path.expanduser(spec.dataset)) else spec.dataset,
        data_root=None if spec.data_root is None else absolute(spec.data_root),
        options=dataclasses.replace(spec.options, test=absolute(test) if isinstance(test, str) else test),
    )


def memory_of(options: argparse.Namespace) -> str | None:
    """The cache folder for trainings. It is not part of a run: paths in a run's files are not trusted."""
    memory = getattr(options, "memory", None)
    return None if memory is None else str(Path(os.path.expanduser(memory)).absolute())


def load(source: DataSource, options: argparse.Namespace) -> Bunch:
    """Load the data, and print what was inferred about a file."""
    from ...estimators.data.datasets import load_source

    with usage_errors():
        bunch = load_source(source, download=options.download, progress=print_message)
    for assumption in bunch.assumptions:
        print_message(f"note: assumed {assumption}")
    return bunch
