"""The settings of a run: data set, training, the ways of pruning to compare, and seeds."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from ...estimators.data.datasets import dataset_names
from ...estimators.data.errors import DatasetError
from ...estimators.data.source import PIXELS, DataOptions, DataSource
from ...estimators.messages import as_text
from ...estimators.parameters import (
    DEFAULTS,
    PARAMETERS,
    WAYS,
    check_sparsities,
    check_value,
    conflicts,
    defaults_of,
    extreme_sparsities,
    records_of,
    with_present_names,
)
from ...estimators.presets import BOTH_GRANULARITIES, ORIGINAL_SPARSITIES, variants_of
from ...estimators.registry import ESTIMATORS, estimator_class
from ...estimators.studies.catalogue import EXPERIMENTS
from .schemas import Spec

MAX_POINTS = 100_000
MAX_NAME_LENGTH = 200

if TYPE_CHECKING:
    from ...estimators.base import BasePrunedClassifier

#: Control characters, and bytes of a path that are not valid UTF-8.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

#: The version of the methods that a run uses. 1: units are ranked across the network by raw scores, SynFlow by
#: one ranking for all sparsities, and samples are drawn without regard to their classes.
METHODS = 2

#: Criteria that rank as in version 1.
_UNCHANGED = ("magnitude", "random")


def parameters_of(estimator: str) -> tuple[str, ...]:
    """The parameters of an estimator that a run, and so its file, may set once; other fields set the rest."""
    return tuple(
        record.name for record in records_of(estimator) if record.is_of_run and record.is_stored and not record.is_way
    )


class SpecError(ValueError):
    """A run cannot be described like this; the message names the reason, and `field` the field to change."""

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class RunSpec:
    """An experiment: train once per seed, prune in every way to every sparsity.

    Attributes
    ----------
    dataset : str
        A name or the path of a file, as for `load_dataset`.
    parameters : mapping
        The parameters in `parameters_of` that differ from the classifier's defaults.
    ways : mapping of str to sequence
        Values of the parameters `WAYS`; every combination is a curve.
    sparsities : sequence of float
        From 0 to 1.
    seeds : sequence of int
        The seed of each network.
    pixels : str
        How pixels are scaled; see `load_dataset`.
    options : DataOptions
        The options for reading a file.
    data_root : str or None
        The folder of the named data sets.
    preset : str
        The preset that it is based on; empty if none.
    name : str
        The user's name for it; empty if none.
    estimator : str
        The classifier: a name in `prunelab.estimators.registry`.
    methods : int
        The version of its methods; see `METHODS`.
    """

    dataset: str = "digits"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ways: Mapping[str, Sequence[Any]] = field(default_factory=lambda: dict(BOTH_GRANULARITIES))
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES
    seeds: Sequence[int] = (0,)
    pixels: str = "auto"
    options: DataOptions = field(default_factory=DataOptions)
    data_root: str | None = None
    preset: str = ""
    name: str = ""
    estimator: str = "mlp"
    methods: int = METHODS

    @classmethod
    def from_preset(cls, name: str, /, **changes: Any) -> RunSpec:
        """The experiment of a preset or of a study; KeyError if the name is unknown."""
        preset = EXPERIMENTS[name]
        fields = {
            "dataset": preset.dataset,
            "pixels": preset.pixels,
            "options": DataOptions(label_noise=preset.label_noise),
            "parameters": dict(preset.parameters),
            "ways": dict(preset.ways),
            "sparsities": tuple(preset.sparsities),
            "seeds": tuple(range(preset.seeds)),
            "preset": name,
            "estimator": preset.estimator,
        }
        return cls(**{**fields, **changes})

    @property
    def source(self) -> DataSource:
        """The data set, with the options for reading and scaling it."""
        return DataSource(self.dataset, self.data_root, self.pixels, self.options)

    @property
    def variants(self) -> list[dict[str, Any]]:
        """The ways of pruning, a mapping of parameters each, in the order of their computation."""
        return variants_of(self.ways)

    @property
    def is_outdated(self) -> bool:
        """Whether this version would compute different numbers."""
        return self.methods < METHODS and not set(all_ways(self)["criterion"]) <= set(_UNCHANGED)

    @cached_property
    def _places(self) -> dict[tuple[Any, ...], int]:
        """The number of every point, in the order of computation."""
        variants = [_way_of(variant) for variant in self.variants]
        points = itertools.product(self.seeds, variants, self.sparsities)
        return {(seed, way, sparsity): place for place, (seed, way, sparsity) in enumerate(points)}

    def place_of(self, row: Mapping[str, Any]) -> int | None:
        """The index of the point that a row of results belongs to, from 0; None if it belongs to another run."""
        return self._places.get((row["seed"], _way_of(self.with_ways(row)), float(row["sparsity"])))

    def point_at(self, place: int) -> tuple[int, int, float]:
        """Seed, variant number and sparsity of a point; the inverse of `place_of`."""
        seed, rest = divmod(place, self.points_per_seed)
        variant, sparsity = divmod(rest, len(self.sparsities))
        return self.seeds[seed], variant, self.sparsities[sparsity]

    def is_like(self, other: RunSpec) -> bool:
        """Whether it computes the same, apart from the seeds."""
        if self.is_outdated != other.is_outdated:
            return False
        mine, theirs = (
            replace(spec, seeds=(), preset="", name="", data_root=None, methods=METHODS) for spec in (self, other)
        )
        return mine.to_json() == theirs.to_json()

    def with_ways(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of results with a value for each of `WAYS`, including those unknown to the version that wrote it."""
        return {**row, **{name: value for name, value in self._common_ways.items() if name not in row}}

    @cached_property
    def _common_ways(self) -> dict[str, Any]:
        """The ways that all points have in common."""
        return {name: values[0] for name, values in all_ways(self).items() if len(values) == 1}

    @property
    def points_per_seed(self) -> int:
        """The number of pruned networks per seed."""
        return math.prod(len(values) for values in self.ways.values()) * len(self.sparsities)

    @property
    def n_points(self) -> int:
        """The total number of pruned networks."""
        return self.points_per_seed * len(self.seeds)

    def parameter(self, name: str) -> Any:
        """The value of a training parameter."""
        return self.parameters.get(name, defaults_of(self.estimator)[name])

    def with_estimator(self, estimator: str) -> RunSpec:
        """The same training and pruning with another estimator, whose network has its defaults."""
        if estimator == self.estimator:
            return self
        kept = {name: value for name, value in self.parameters.items() if PARAMETERS[name].kind != "network"}
        return replace(self, estimator=estimator, parameters=kept)

    def make_estimator(self, **others: Any) -> BasePrunedClassifier:
        """The classifier, not yet fitted; loads torch."""
        return estimator_class(self.estimator)(**self.parameters, **others)

    def problems(self) -> dict[str, str]:
        """The problems: a sentence for each field or parameter with an invalid value; empty if all are valid.

        The existence of the data and of the device is not checked.
        """
        return self._wrong_values() or self._conflicts()

    def _conflicts(self) -> dict[str, str]:
        """Conflicts between values, in any of the ways of pruning."""
        found: dict[str, str] = {}
        for variant, sparsity in itertools.product(self.variants, extreme_sparsities(self.sparsities)):
            given = {**self.parameters, **variant, "sparsity": sparsity}
            for name, sentence in conflicts(given, self.estimator).items():
                found.setdefault(name, sentence)
        return found

    def _wrong_values(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if not self.dataset.strip() or _CONTROL.search(self.dataset):
            found["dataset"] = "dataset must be a name or the path of a file, without control characters"
        if isinstance(self.options.test, str) and _CONTROL.search(self.options.test):
            found["test"] = "test must be a fraction or the path of a file, without control characters"
        if self.pixels not in PIXELS:
            found["pixels"] = f"pixels must be one of {', '.join(map(repr, PIXELS))}, got {as_text(self.pixels)}"
        found |= self.options.problems()
        if self.estimator not in ESTIMATORS:
            found["estimator"] = (
                f"estimator must be one of {', '.join(map(repr, ESTIMATORS))}, got {as_text(self.estimator)}"
            )
            return found
        known = parameters_of(self.estimator)
        for name, value in self.parameters.items():
            if name not in known:
                found[name] = _unknown(name, self.estimator)
            elif isinstance(value, Mapping):
                found[name] = f"{name} of a run must be a number, a name or a list, got {as_text(value)}"
            elif isinstance(value, float) and not math.isfinite(value):
                found[name] = f"{name} must be a finite number, got {value}"
            else:
                _note(found, name, value)
        for name, values in self.ways.items():
            if name not in WAYS:
                found[name] = f"there is no way of pruning called {name!r}"
            elif not values:
                found[name] = f"{name} must have at least one value"
            elif len(set(map(str, values))) < len(values):
                found[name] = f"{name} must have different values, got {', '.join(map(str, values))}"
            for value in values:
                _note(found, name, value)
        try:
            check_sparsities(self.sparsities)
        except ValueError as error:
            found["sparsities"] = str(error)
        else:
            if len(set(self.sparsities)) < len(self.sparsities):
                found["sparsities"] = "sparsities must all be different"
        if not self.seeds or any(seed < 0 or seed >= 2**32 for seed in self.seeds):
            found["seeds"] = "seeds must be whole numbers from 0 to 4,294,967,295, and at least one"
        elif len(set(self.seeds)) < len(self.seeds):
            found["seeds"] = "seeds must all be different"
        if not found and self.n_points > MAX_POINTS:
            found["sparsities"] = f"{self.n_points:,} points are more than the {MAX_POINTS:,} that a run may have"
        return found

    def check(self) -> None:
        """Raise SpecError for the first problem, if any."""
        _raise_first(self.problems())

    def to_json(self) -> dict[str, Any]:
        """The spec as a JSON object."""
        return {
            "dataset": self.dataset,
            "pixels": self.pixels,
            "options": self.options.to_json(),
            "parameters": {name: _to_json(value) for name, value in self.parameters.items()},
            "ways": {name: [_to_json(value) for value in values] for name, values in self.ways.items()},
            "sparsities": list(self.sparsities),
            "seeds": list(self.seeds),
            "data_root": self.data_root,
            "preset": self.preset,
            "name": self.name,
            "estimator": self.estimator,
            "methods": self.methods,
        }

    @classmethod
    def from_json(cls, data: Any) -> RunSpec:
        """The inverse of `to_json`; SpecError for invalid data.

        Conflicting values are accepted: a run that failed because of them must still be shown. The parameter `memory`,
        which runs of earlier versions may contain, is ignored: a file must not name a folder to read or write.
        """
        try:
            fields = msgspec.convert(data, Spec)
            options = DataOptions.from_json(fields.pop("options", {}))
        except (msgspec.MsgspecError, RecursionError, TypeError, DatasetError) as error:
            raise SpecError(f"it does not describe a run: {error}") from error
        methods = fields.get("methods", 1)
        parameters = with_present_names(fields["parameters"])
        parameters.pop("memory", None)
        ways = _ways_then(fields["ways"], methods)
        if "distribution" in parameters:  # earlier versions had one value of it for the run
            ways.setdefault("distribution", (parameters.pop("distribution"),))
        fields |= {"parameters": parameters, "ways": ways, "methods": methods}
        spec = cls(**{**fields, "options": options, "pixels": _pixels_of(data)})
        _raise_first(spec._wrong_values())
        return spec


def _unknown(name: str, estimator: str) -> str:
    """Why a run with this estimator does not have a parameter."""
    others = [other for other in ESTIMATORS if name in parameters_of(other)]
    if not others:
        return f"a run has no parameter {name!r}"
    return f"{name} is a parameter of estimator {' or '.join(map(repr, others))}, and this one is {estimator!r}"


def _pixels_of(data: Mapping[str, Any]) -> str:
    """How pixels are scaled; earlier versions called "auto" "signed"."""
    pixels = data.get("pixels", "auto")
    return "auto" if pixels == "signed" and "options" not in data else pixels


def _ways_then(ways: Mapping[str, Sequence[Any]], methods: int) -> dict[str, tuple[Any, ...]]:
    """The ways of a run by their current names."""
    known = {name: tuple(values) for name, values in ways.items()}
    if methods < 2 and "unit" in known.get("granularity", ()) and "global" in known.get("scope", ()):
        known.setdefault("normalize", ("none",))
    return known


def check_name(text: str) -> str:
    """Return the name of a run with single spaces between words; SpecError if it is invalid."""
    name = " ".join(text.split())
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise SpecError(f"the name of a run must have at most {MAX_NAME_LENGTH} characters, all printable", "name")
    return name


def _way_of(ways: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of `WAYS`, spelled as in the rows of results."""
    return tuple(_spelled(name, ways.get(name, DEFAULTS[name])) for name in WAYS)


def _spelled(name: str, value: Any) -> str:
    if name == "norm":
        with contextlib.suppress(TypeError, ValueError):
            return f"{float(value):g}"
    return str(value)


def _raise_first(problems: Mapping[str, str]) -> None:
    for name, sentence in problems.items():
        raise SpecError(sentence, name)


def preset_of(spec: RunSpec) -> str:
    """The name of the preset with the same settings, apart from seeds and machine; empty if there is none."""
    mine = _essence(spec)
    return next((name for name, essence in _essences().items() if essence == mine), "")


@cache
def _essences() -> dict[str, tuple[Any, ...]]:
    return {name: _essence(RunSpec.from_preset(name)) for name in EXPERIMENTS}


def _essence(spec: RunSpec) -> tuple[Any, ...]:
    parameters = {name: value for name, value in spec.parameters.items() if name not in ("device", "precision")}
    is_automatic = spec.pixels == "signed" and spec.dataset in dataset_names()
    pixels = "auto" if is_automatic else spec.pixels
    return (
        spec.estimator,
        spec.dataset,
        pixels,
        spec.options,
        {**defaults_of(spec.estimator), **parameters},
        all_ways(spec),
        tuple(spec.sparsities),
    )


def all_ways(spec: RunSpec) -> dict[str, tuple[Any, ...]]:
    """The values of each of `WAYS`, including defaults."""
    return {name: tuple(map(_plain, spec.ways.get(name, (DEFAULTS[name],)))) for name in WAYS}


def _plain(value: Any) -> Any:
    return math.inf if value == "inf" else value


def _note(found: dict[str, str], name: str, value: Any) -> None:
    try:
        check_value(name, value)
    except ValueError as error:
        found[name] = str(error)


def _to_json(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value
