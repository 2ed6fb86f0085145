"""The state of a run, reconstructed from its events, in the worker and in every process that watches it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...estimators.studies.statistics import knee
from ..curves import curve_name
from .events import EventReader
from .points import Points, Row
from .store import Run
from .supervisor import reason_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .spec import RunSpec

MAX_LOG_LINES = 500


@dataclass
class TrainingCurve:
    """The progress of one training: the loss within and after the epochs, and the accuracies after them.

    Attributes
    ----------
    seed : int
    phase : str
        "training" or "fine-tuning".
    loss : list of (float, float)
        Epochs (a fraction within an epoch) and the mean loss of the epoch so far.
    epoch_loss : list of (float, float)
        Epochs and their mean loss.
    accuracy : list of (float, float)
        Epochs and the accuracy on the test data after them.
    validation : list of (float, float)
        The accuracy on held-out training data, if any.
    """

    seed: int
    phase: str
    loss: list[tuple[float, float]] = field(default_factory=list)
    epoch_loss: list[tuple[float, float]] = field(default_factory=list)
    accuracy: list[tuple[float, float]] = field(default_factory=list)
    validation: list[tuple[float, float]] = field(default_factory=list)


def epochs_done(place: Mapping[str, Any] | None) -> float:
    """The number of epochs done at a place in a training (the ``batch`` of a status), with a fraction."""
    if place is None:
        return 0.0
    if "batch" not in place:  # at the end of an epoch
        return float(place["epoch"])
    return place["epoch"] - 1 + place["batch"] / place.get("batches", 1)


class RunView:
    """The state of a run, fed with events by `apply`.

    Attributes
    ----------
    spec : RunSpec
    points : Points
        The finished points.
    layers, units : list
        For each point, ``[kept, total]`` of every layer's weights and units.
    curves : list of TrainingCurve
        The trainings in order; the last one is the current one.
    batch : dict or None
        The latest progress within a training: the fields of a ``batch`` or ``epoch`` event; None between trainings.
    seed : int or None
        The current seed.
    device, precision, source, reason : str
        Empty if not yet known.
    sizes : list of int
        Number of features, then of the units of each layer; empty until the first training is done.
    widths : list of [int, int]
        The input and output width of every layer.
    n_train, n_test : int
        The numbers of samples.
    log : list of (float, str)
        Time and text of every log entry.
    ended : str
        "finished", "stopped" or "failed" if that is the last event, else empty.
    """

    def __init__(self, spec: RunSpec):
        self.spec = spec
        self.points = Points(spec)
        self._dense: dict[int, float] = {}
        self.layers: list[list[list[int]]] = []
        self.units: list[list[list[int]]] = []
        self.curves: list[TrainingCurve] = []
        self.batch: dict[str, Any] | None = None
        self.seed: int | None = None
        self.device = self.precision = self.source = self.reason = self.ended = ""
        self.sizes: list[int] = []
        self.widths: list[list[int]] = []
        self.classes: list[str] = []
        self.n_train = self.n_test = 0
        self.log: list[tuple[float, str]] = []
        self.seconds = 0.0  # working time, without interruptions
        self.started: float | None = None
        self._last_time: float | None = None
        self.training_seconds = 0.0
        self.training_samples = 0

    def apply(self, event: dict[str, Any]) -> None:
        """Apply an event. Unknown types of events (of a newer version) are ignored."""
        kind, when = event["type"], event.get("t")
        if when is not None:
            if kind != "started" and self._last_time is not None:
                self.seconds += max(0.0, when - self._last_time)
            self._last_time = when
        take = getattr(self, f"_take_{kind}", None)
        if take is not None:
            take(event)

    # -- figures ---------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Row]:
        """The finished points: rows of the table of results, each with all `WAYS`."""
        return self.points.rows

    @property
    def n_points(self) -> int:
        """The number of points of the whole run."""
        return self.spec.n_points

    @property
    def samples_per_second(self) -> float:
        """The speed of the current or the last training; 0 before the first event."""
        return self.training_samples / self.training_seconds if self.training_seconds else 0.0

    @property
    def epochs_done(self) -> float:
        """Epochs of the current training, with a fraction."""
        return epochs_done(self.batch)

    @property
    def seconds_left(self) -> float | None:
        """The remaining time of the current training, from its speed so far; None if unknown."""
        done = self.epochs_done
        if self.batch is None or not done or not self.batch["seconds"]:
            return None
        return self.batch["seconds"] * (self.batch["epochs"] - done) / done

    @property
    def dense_accuracy(self) -> float | None:
        """The mean accuracy of the unpruned networks; None if unknown."""
        values = [row["accuracy"] for row in self.rows if row["sparsity"] == 0] or [*self._dense.values()]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def knees(self) -> dict[str, float]:
        """The knee (see `knee`) of every curve that has one, by name of the curve."""
        curves: dict[str, list[Row]] = {}
        for row in self.rows:
            curves.setdefault(curve_name(row, self.spec), []).append(row)
        if 0 not in self.spec.sparsities:  # the knee is relative to the unpruned network
            dense = [{"sparsity": 0.0, "accuracy": accuracy} for accuracy in self._dense.values()]
            curves = {name: [*dense, *rows] for name, rows in curves.items() if dense}
        knees = {
            name: knee([row["sparsity"] for row in rows], [_number(row["accuracy"]) for row in rows])
            for name, rows in curves.items()
        }
        return {name: value for name, value in knees.items() if value == value}

    def figures(self) -> dict[str, Any]:
        """The summary in `status.json`, which lists of runs show."""
        return {
            "points": len(self.rows),
            "n_points": self.n_points,
            "seed": self.seed,
            "batch": self.batch,
            "dense_accuracy": self.dense_accuracy,
            "knees": self.knees(),
            "started": self.started,
            "updated": time.time(),
            "seconds": round(self.seconds, 3),
            "device": self.device,
            "precision": self.precision,
        }

    # -- events ----------------------------------------------------------------------------------------------

    def _note(self, event: dict[str, Any], text: str) -> None:
        self.log.append((event.get("t", 0.0), text))
        del self.log[:-MAX_LOG_LINES]

    def _take_started(self, event: dict[str, Any]) -> None:
        self.ended = self.reason = ""
        self.batch = None
        self.started = event["t"] if self.started is None else self.started
        self.device, self.precision = event["device"], event["precision"]
        self._note(event, f"{'resumed' if event['resumed'] else 'started'} on {event['host']}, process {event['pid']}")

    def _take_data(self, event: dict[str, Any]) -> None:
        self.source, self.classes = event["source"], event["classes"]
        self.n_train, self.n_test = event["n_train"], event["n_test"]
        self._note(event, event["source"])

    def _take_seed(self, event: dict[str, Any]) -> None:
        self.seed, self.batch = event["seed"], None
        self._note(event, f"seed {event['seed']}")

    def _take_batch(self, event: dict[str, Any]) -> None:
        self._progress(event)
        self._curve(event).loss.append((self.epochs_done, _number(event["loss"])))

    def _take_epoch(self, event: dict[str, Any]) -> None:
        self._progress(event)
        curve, epoch = self._curve(event), event["epoch"]
        curve.epoch_loss.append((epoch, _number(event["loss"])))
        words = f"{event['phase']}: epoch {epoch}/{event['epochs']}, loss {_number(event['loss']):.4f}"
        if event.get("monitored") is not None:
            curve.accuracy.append((epoch, event["monitored"]))
            words += f", test accuracy {100 * event['monitored']:.2f} %"
        if event.get("validation_score") is not None:
            curve.validation.append((epoch, event["validation_score"]))
            words += f", validation {100 * event['validation_score']:.2f} %"
        if event["phase"] == "training":
            self._note(event, words)

    def _take_dense(self, event: dict[str, Any]) -> None:
        self.device, self.precision, self.sizes = event["device"], event["precision"], event["sizes"]
        self.widths = event.get("widths") or [list(pair) for pair in pairwise(self.sizes)]  # absent from older runs
        self.batch = None
        if event.get("accuracy") is not None:
            self._dense[event["seed"]] = event["accuracy"]
        self._note(event, f"seed {event['seed']} is trained: {event['epochs']} epochs, {event['precision']}")

    def _take_point(self, event: dict[str, Any]) -> None:
        self.batch = None
        if (at := self.points.insert(event["row"])) is None:
            return
        row = self.rows[at]
        self.layers.insert(at, event["layers"])
        self.units.insert(at, event["units"])
        self._note(
            event,
            f"point {event['point']}/{event['points']}: {curve_name(row, self.spec)}, sparsity {row['sparsity']:g}: "
            f"{100 * _number(row['accuracy']):.2f} %",
        )

    def _take_note(self, event: dict[str, Any]) -> None:
        self._note(event, event["text"])

    def _take_finished(self, event: dict[str, Any]) -> None:
        self._end(event, "finished")

    def _take_stopped(self, event: dict[str, Any]) -> None:
        self._end(event, "stopped")

    def _take_failed(self, event: dict[str, Any]) -> None:
        self.reason = event["reason"]
        self._end(event, f"failed: {event['reason']}")

    def _end(self, event: dict[str, Any], words: str) -> None:
        self.ended, self.batch = event["type"], None
        self._note(event, words)

    def _progress(self, event: dict[str, Any]) -> None:
        self.batch = {name: event[name] for name in _PROGRESS if name in event}
        self.training_seconds, self.training_samples = event["seconds"], event["samples"]

    def _curve(self, event: dict[str, Any]) -> TrainingCurve:
        """The curve for a training event: the last one, or a new one."""
        seed = self.spec.seeds[0] if self.seed is None else self.seed
        last = self.curves[-1] if self.curves else None
        at = self.epochs_done
        if last is None or (last.seed, last.phase) != (seed, event["phase"]):
            self.curves.append(TrainingCurve(seed, event["phase"]))
        elif last.loss and at < last.loss[-1][0]:
            if event["phase"] == "training":  # resumed from a checkpoint: the events after it are repeated
                for part in (last.loss, last.epoch_loss, last.accuracy, last.validation):
                    part[:] = [point for point in part if point[0] < at]
            else:
                self.curves.append(TrainingCurve(seed, event["phase"]))
        return self.curves[-1]


_PROGRESS = ("phase", "epoch", "epochs", "batch", "batches", "loss", "samples", "seconds")


class RunWatcher:
    """Follows one run: `poll` reads new events.

    Attributes
    ----------
    run : Run
    view : RunView
    state : str
        One of `STATES`, or "gone" if the directory was deleted.
    status : dict
        The latest content of `status.json`.
    """

    def __init__(self, run: Run):
        self.run = run
        self.view = RunView(run.spec)
        self.state = "running"
        self.status: dict[str, Any] = {}
        self._reader = EventReader(run.events_path)

    @property
    def is_live(self) -> bool:
        """Whether new events may come without the run being resumed."""
        return self.state == "running"

    @property
    def reason(self) -> str:
        """Why it failed, does not respond or cannot be read; empty otherwise."""
        return self.status.get("reason") or self.view.reason or reason_of(self.run)

    @property
    def doubt(self) -> str:
        """A sentence about damaged or unverified lines of the log; else empty."""
        return doubt_about(self._reader, len(self.view.rows), self.view.n_points)

    def poll(self) -> bool:
        """Read new events; returns whether anything has changed."""
        if not self.run.path.is_dir():
            changed, self.state = self.state != "gone", "gone"
            return changed
        status = self.run.status()
        try:
            events = self._reader.read()
        except OSError as error:
            events = []
            status |= {"state": "unreadable", "reason": f"events.jsonl cannot be read: {error.strerror or error}"}
        for event in events:
            self.view.apply(event)
        changed = bool(events) or status != self.status or status["state"] != self.state
        self.status, self.state = status, status["state"]
        batch = status.get("batch")
        known = self.view.batch
        if self.is_live and batch is not None and known is not None and batch["samples"] > known["samples"]:
            self.view._progress(batch)  # the status is written more often than the events
        return changed


def doubt_about(reader: EventReader, n_done: int, n_points: int) -> str:
    """A sentence about damaged or unverified lines of a log; else empty."""
    if reader.n_damaged:
        missing = f"; {n_points - n_done} of {n_points} points are missing" if n_done < n_points else ""
        return f"events.jsonl has damaged lines ({reader.n_damaged}), which are ignored{missing}"
    if reader.n_unverified:
        return "written by an earlier version without checksums: damage to it cannot be detected"
    return ""


def watch(run: Run) -> RunWatcher:
    """Follow a run; RunError if it cannot be read."""
    watcher = RunWatcher(run)
    watcher.poll()
    return watcher


def _number(value: float | str | None) -> float:
    """Convert a JSON value to a number: None is NaN."""
    return float("nan") if value is None else float(value)
