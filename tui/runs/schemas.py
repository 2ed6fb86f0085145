"""Schemas of a run's files: types and limits, which msgspec validates when a file is read.

A file that does not match is reported. Unknown entries (of a newer version) are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

Text = Annotated[str, Meta(max_length=10_000)]
Word = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**60)]
AtLeastOne = Annotated[int, Meta(ge=1, le=2**60)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]

#: Seconds since 1970, up to the year 9999.
Time = Annotated[float, Meta(ge=0, le=253_402_300_799)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Fraction = Annotated[float, Meta(ge=0, le=1)]

#: A number as written by `prunelab.estimators.files.to_json`.
Number = float | Literal["inf", "-inf"] | None

#: A value of a parameter, or of a column of the table of results.
Value = bool | int | float | Text | None

Kept = Annotated[list[Count], Meta(min_length=2, max_length=2)]
"""The remaining and the total number of a layer's weights or units."""


class Spec(TypedDict):
    """The settings of a run: see `prunelab.tui.runs.spec.RunSpec`."""

    dataset: Annotated[str, Meta(max_length=4096)]
    parameters: dict[Word, Value | tuple[int | Word, ...]]
    ways: dict[Word, tuple[Value, ...]]
    sparsities: tuple[float, ...]
    seeds: tuple[Seed, ...]
    pixels: NotRequired[Word]
    options: NotRequired[dict[Word, Value]]
    estimator: NotRequired[Word]
    methods: NotRequired[AtLeastOne]
    data_root: NotRequired[Annotated[str, Meta(max_length=4096)] | None]
    preset: NotRequired[Word]
    name: NotRequired[Text]


class DataRecord(TypedDict):
    """The properties of a run's data when they were first loaded: see `prunelab.estimators.data.datasets`."""

    content: Word | None
    assumptions: list[Text]


class Record(TypedDict):
    """``run.json``."""

    format: Literal[1, 2]
    created: Time
    spec: dict[str, Any]
    data: NotRequired[DataRecord]


class Progress(TypedDict):
    """The progress of a training."""

    phase: Word
    epoch: Count
    epochs: AtLeastOne
    samples: Count
    seconds: Seconds


class Place(Progress):
    """The progress in ``status.json``; at the end of an epoch it has no ``batch``."""

    batch: NotRequired[Count]
    batches: NotRequired[AtLeastOne]
    loss: NotRequired[Number]


class Status(TypedDict, total=False):
    """``status.json``."""

    format: Literal[2]
    state: Literal["running", "finished", "stopped", "failed"]
    reason: Text
    points: Count
    n_points: Count
    seed: Seed | None
    batch: Place | None
    dense_accuracy: Fraction | None
    knees: dict[Word, Fraction]
    started: Time | None
    updated: Time
    seconds: Seconds
    device: Word
    precision: Word


class Settings(TypedDict, total=False):
    """``settings.json`` of the app."""

    theme: Word


class Event(TypedDict):
    """The fields of every line of ``events.jsonl``."""

    type: Word
    t: Time


class Started(Event):
    """A worker starts."""

    device: Word
    precision: Word
    pid: Count
    host: Word
    resumed: bool


class Data(Event):
    """The data are loaded."""

    source: Text
    n_train: Count
    n_test: Count
    n_features: NotRequired[Count]
    classes: list[Text]
    assumptions: NotRequired[list[Text]]


class SeedBegan(Event):
    """The training or pruning of a seed begins."""

    seed: Seed


class Batch(Event, Progress):
    """Progress within an epoch; ``loss`` is the mean of the epoch so far."""

    batch: Count
    batches: AtLeastOne
    loss: Number


class Epoch(Event, Progress):
    """The end of an epoch; ``monitored`` is the accuracy on the test data."""

    loss: Number
    validation_score: NotRequired[Fraction | None]
    monitored: NotRequired[Fraction | None]


class Dense(Event):
    """A training is finished."""

    seed: Seed
    device: Word
    precision: Word
    sizes: list[AtLeastOne]
    widths: NotRequired[list[tuple[AtLeastOne, AtLeastOne]]]
    epochs: Count
    accuracy: NotRequired[Fraction | None]


class Point(Event):
    """A point is finished; ``row`` is a row of the table of results, with the ways of pruning."""

    row: dict[Word, Value]
    point: Count
    points: Count
    layers: list[Kept]
    units: list[Kept]


class Row(TypedDict):
    """The columns of every row."""

    seed: Seed
    criterion: Word
    granularity: Word
    scope: Word
    sparsity: Fraction
    achieved_sparsity: Fraction
    accuracy: Fraction | None
    loss: Number
    nonzero: Count
    compression: Number
    macs: Count
    speedup: Number


class Note(Event):
    """A sentence for the log."""

    text: Text


class Failed(Event):
    """The worker ended with an error."""

    reason: Text


#: The events by type; ``finished`` and ``stopped`` have only the common fields.
EVENTS: dict[str, Any] = {
    "started": Started,
    "data": Data,
    "seed": SeedBegan,
    "batch": Batch,
    "epoch": Epoch,
    "dense": Dense,
    "point": Point,
    "note": Note,
    "finished": Event,
    "stopped": Event,
    "failed": Failed,
}
