"""The process that computes a run: ``python -m prunelab.tui.runs.worker DIRECTORY``.

It appends what happens to `events.jsonl` and keeps `status.json` up to date; nobody else writes there. The command
line uses the same class in its own process. Events, one JSON object a line, each with ``t`` (seconds since 1970):

======================  ============================================================================================
``started``             ``device``, ``precision`` ("auto" until the training begins), ``pid``, ``host``, ``resumed``
``data``                ``source``, ``n_train``, ``n_test``, ``n_features``, ``classes``, ``assumptions``
``seed``                ``seed``: its training or pruning begins
``batch``               ``phase, epoch, epochs, batch, batches, loss, samples, seconds``: the loss so far
``epoch``               ``phase, epoch, epochs, loss, validation_score, samples, seconds``, and ``monitored``, the
                        accuracy on the test data
``dense``               ``seed, device, precision, sizes, epochs``: a training is done
``point``               ``row`` (a row of the table, with the ways of pruning), ``point``, ``points``,
                        ``layers`` (``[kept, total]`` of the weights of every layer), ``units`` (the same of units)
``note``                ``text``
``finished, stopped``   nothing more
``failed``              ``reason``
======================  ============================================================================================
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import signal
import socket
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from ...estimators.backend import OUT_OF_MEMORY, is_out_of_memory, share_processors
from ...estimators.presets import WAYS
from .store import EventReader, Run, RunError, write_json
from .view import RunView

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Bunch

    from ...estimators.path import PathPoint
    from ...estimators.training import Checkpoint, Event

SECONDS_BETWEEN_STATUS = 0.4
SECONDS_BETWEEN_CHECKPOINTS = 20.0

#: With more seeds than this only the first keeps its dense network.
MODELS_KEPT = 10


#: Detached workers give way to whoever sits at the machine: the lab itself, above all.
NICENESS = 5


class Stopped(Exception):  # noqa: N818 (it is not an error)
    """The user wants the run to stop."""


class Worker:
    """Computes one run, going on from whatever an earlier worker finished.

    Parameters
    ----------
    run : Run
    lock : int, optional
        Descriptor of the run's lock, if it was taken already.
    on_event : callable, optional
        Told the events of `sweep`, as they come.
    on_point : callable, optional
        Given every `PathPoint`, after it is on the disk.
    on_seed : callable, optional
        Told every seed before it begins.
    data : Bunch, optional
        The data of the run, if they are loaded already.
    """

    def __init__(
        self,
        run: Run,
        lock: int | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_point: Callable[[PathPoint], None] | None = None,
        on_seed: Callable[[int], None] | None = None,
        data: Bunch | None = None,
    ):
        self.run = run
        self.data = data
        self.reason = ""
        self._lock = run.lock() if lock is None else lock
        run.sign_lock(self._lock)
        self._on_event, self._on_point, self._on_seed = on_event, on_point, on_seed
        self._stop_asked = False
        self._log = EventLog(run)
        self._view = RunView(run.spec)
        for event in self._log.earlier:
            self._view.apply(event)
        self._seed = run.spec.seeds[0]
        self._status_written = self._checkpoint_written = self._batch_told = 0.0

    def stop(self) -> None:
        """Ask it to stop at the next step; may be called from a signal handler."""
        self._stop_asked = True

    def work(self) -> str:
        """Compute until the run is finished, stopped or failed; returns which, with the reason in `reason`."""
        try:
            state = self._work()
        except Exception as error:
            state, self.reason = "failed", _reason(error)
            if not _is_expected(error):
                import traceback

                traceback.print_exc()
        try:
            self._tell(state, sync=True, **({"reason": self.reason} if state == "failed" else {}))
            self._write_status(state)
        except OSError as error:  # a full disk, or a folder that is gone: what is there stays readable
            self.reason = self.reason or _reason(error)
            with contextlib.suppress(OSError):
                self._write_status("failed")
            return "failed"
        with contextlib.suppress(OSError):
            self.run.stop_path.unlink(missing_ok=True)
        return state

    def close(self) -> None:
        """Let go of the run."""
        self._log.close()
        os.close(self._lock)

    def _work(self) -> str:
        spec = self.run.spec
        self._tell(
            "started",
            device=spec.parameter("device"),
            precision=spec.parameter("precision"),
            pid=os.getpid(),
            host=socket.gethostname(),
            resumed=bool(self._log.earlier),
        )
        self._write_status("running")
        try:
            with self._warnings_noted():
                self._compute()
        except Stopped:
            return "stopped"
        return "finished"

    def _compute(self) -> None:
        from ...estimators import PrunedMLPClassifier
        from ...estimators.backend import resolve_device
        from ...estimators.checkpoints import CheckpointError, load_checkpoint
        from ...estimators.studies.run import sweep

        spec = self.run.spec
        resolve_device(spec.parameter("device"))  # a GPU that is not there is said before anything is loaded
        data = self.data
        if data is None:
            data = spec.source.load()
        self.run.check_content(data.content)
        if self.run.data is None:
            if self._log.earlier and data.content is not None:
                self._tell("note", text=f"the content of {spec.dataset} was not recorded before, and may have changed")
            self.run.keep_data(data.content, data.assumptions)
        self._tell(
            "data",
            source=data.source,
            n_train=len(data.y_train),
            n_test=len(data.y_test),
            n_features=int(data.X_train.shape[1]),
            classes=list(map(str, data.class_names)),
            assumptions=data.assumptions,
        )
        done: dict[int, int] = {}
        for row in self._view.rows:
            done[row["seed"]] = done.get(row["seed"], 0) + 1

        def checkpoint_of(seed: int) -> Checkpoint | None:
            path = self.run.checkpoint_path(seed)
            try:
                return load_checkpoint(path) if path.is_file() else None
            except CheckpointError as error:
                self._tell("note", text=f"{error}; the training of seed {seed} begins again")
                return None

        for point in sweep(
            PrunedMLPClassifier(**spec.parameters),
            data,
            sparsities=spec.sparsities,
            variants=spec.variants,
            seeds=spec.seeds,
            on_seed=self._begin_seed,
            on_event=self._take,
            done=done,
            checkpoint_of=checkpoint_of,
            watch=True,
        ):
            self._end_point(point)

    # -- what happens ----------------------------------------------------------------------------------------

    def _begin_seed(self, seed: int) -> None:
        self._seed = seed
        self._is_trained = False
        self._checkpoint_written = time.monotonic()
        self._tell("seed", seed=seed)
        if self._on_seed is not None:
            self._on_seed(seed)
        self._heed_stop()

    def _take(self, event: Event) -> None:
        """An event of the training."""
        from ...estimators.training import BatchEnded, EpochEnded

        if isinstance(event, (BatchEnded, EpochEnded)):
            is_epoch = isinstance(event, EpochEnded)
            figures = {name: value for name, value in vars(event).items() if name != "checkpoint"}
            now = time.monotonic()
            # The longer it takes, the fewer: a thousand or two of them draw a curve as well as a million.
            if is_epoch or now - self._batch_told >= max(0.2, event.seconds / 300):
                self._batch_told = now
                self._tell("epoch" if is_epoch else "batch", **figures)
            else:
                self._view.apply({"type": "epoch" if is_epoch else "batch", **figures})
            if now - self._status_written >= SECONDS_BETWEEN_STATUS:
                self._write_status("running")
            if event.phase == "training" and now - self._checkpoint_written >= SECONDS_BETWEEN_CHECKPOINTS:
                self._save_checkpoint(event.checkpoint())
        if self._on_event is not None:
            self._on_event(event)
        if isinstance(event, (BatchEnded, EpochEnded)):
            self._heed_stop(event.checkpoint if event.phase == "training" else None)

    def _end_point(self, point: PathPoint) -> None:
        if not self._is_trained:
            self._end_training(point)
        pruned, coefs = point.model.pruned, point.model.parameters[: point.network.n_layers]
        row = {**point.row, **{name: getattr(point.estimator, name) for name in WAYS}}
        self._tell(
            "point",
            sync=True,  # on the disk before anybody is told
            row=row,
            point=len(self._view.rows) + 1,
            points=self.run.spec.n_points,
            layers=[[int(mask.sum()), mask.size] for mask in pruned.masks],
            units=[[int((coef != 0).any(axis=0).sum()), coef.shape[1]] for coef in coefs],
        )
        self._write_status("running")
        if self._on_point is not None:
            self._on_point(point)
        if len([None for other in self._view.rows if other["seed"] == self._seed]) == self.run.spec.points_per_seed:
            self.run.checkpoint_path(self._seed).unlink(missing_ok=True)
        self._heed_stop()

    def _end_training(self, point: PathPoint) -> None:
        """Keep the dense network, for whoever goes on from here and for the explorer."""
        from ...estimators.training import Checkpoint, Training

        self._is_trained = True
        training, task = point.dense.training, point.dense.task
        if self.run.spec.points_per_seed > 1:
            bare = Training(training.parameters, training.loss_curve, training.validation_scores)
            best, best_step = training.early_stop_parameters, training.early_stop_step or 0
            self._save_checkpoint(Checkpoint(bare, 0, task.recipe.max_iter, best=best, best_step=best_step))
        path = self.run.model_path(self._seed)
        is_wanted = len(self.run.spec.seeds) <= MODELS_KEPT or self._seed == self.run.spec.seeds[0]
        if is_wanted and not path.exists():
            point.to_dense_classifier().save(path)
        self._tell(
            "dense",
            seed=self._seed,
            device=task.device,
            precision=task.precision,
            sizes=list(task.network.sizes),
            epochs=len(training.loss_curve),
            accuracy=point.dense_accuracy,
        )

    def _heed_stop(self, checkpoint: Callable[[], Checkpoint] | None = None) -> None:
        if self._stop_asked or self.run.stop_path.exists():
            if checkpoint is not None:
                self._save_checkpoint(checkpoint())
            raise Stopped
        if not self.run.path.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of the run was deleted", str(self.run.path))

    # -- writing ---------------------------------------------------------------------------------------------

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        from ...estimators.checkpoints import save_checkpoint

        save_checkpoint(checkpoint, self.run.checkpoint_path(self._seed))
        self._checkpoint_written = time.monotonic()

    def _tell(self, kind: str, *, sync: bool = False, **fields: Any) -> None:
        event = {"type": kind, "t": round(time.time(), 3), **fields}
        self._log.append(event, sync=sync)
        self._view.apply(event)

    def _write_status(self, state: str) -> None:
        self._status_written = time.monotonic()
        status = {"state": state, "reason": self.reason, **self._view.figures()}
        write_json(self.run.path / "status.json", status, sync=state != "running")

    @contextlib.contextmanager
    def _warnings_noted(self):
        seen: set[str] = set()
        tell_others = warnings.showwarning

        def show(message: Warning | str, *details: Any, **more: Any) -> None:
            if str(message) not in seen:
                seen.add(str(message))
                self._tell("note", text=" ".join(str(message).split()))
                tell_others(message, *details, **more)

        with warnings.catch_warnings():
            warnings.showwarning = show
            yield


class EventLog:
    """The writing end of `events.jsonl`.

    Readers take whole lines only. So an event that has to be safe is put on the disk before the end of its line
    is written: nobody is told what a power cut could take back. A last line that an earlier worker did not end
    is ended if all of it is there, and cut off otherwise.

    Attributes
    ----------
    earlier : list of dict
        What was there.
    """

    def __init__(self, run: Run):
        self._descriptor = os.open(run.events_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._mend()
        self.earlier = EventReader(run.events_path).read()

    def append(self, event: dict[str, Any], *, sync: bool = False) -> None:
        """Write a line; with `sync`, it is on the disk before anybody can read it."""
        line = json.dumps(_finite(event), allow_nan=False).encode()
        if sync:
            self._write(line)
            os.fsync(self._descriptor)
            self._write(b"\n")
        else:
            self._write(line + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _mend(self) -> None:
        size = position = os.fstat(self._descriptor).st_size
        tail = b""
        while position and b"\n" not in tail:
            position = max(0, position - 65536)
            tail = os.pread(self._descriptor, size - position, position)
        unfinished = tail[tail.rfind(b"\n") + 1 :]
        if not unfinished:
            return
        try:
            json.loads(unfinished)
        except ValueError:
            os.ftruncate(self._descriptor, size - len(unfinished))
        else:
            self._write(b"\n")


def _finite(value: Any) -> Any:
    """With None, or the name "inf", for the numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _is_expected(error: BaseException) -> bool:
    """Whether the message says all there is to say."""
    return isinstance(error, (ValueError, OSError, RunError)) or is_out_of_memory(error)


def _reason(error: BaseException) -> str:
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full: make room, then resume the run"
    text = " ".join(str(error).split())
    return text if _is_expected(error) and text else f"{type(error).__name__}: {text} (see its log.txt)"


def main(arguments: list[str]) -> int:
    """Run as a process of its own: the directory, then the descriptor of the lock if it was taken already."""
    share_processors()
    os.nice(NICENESS)
    run = Run(arguments[0])
    lock = int(arguments[1]) if len(arguments) > 1 else None
    try:
        worker = Worker(run, lock)
    except (RunError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    state = worker.work()
    worker.close()
    return 1 if state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
