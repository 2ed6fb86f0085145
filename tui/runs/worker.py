"""The process that computes a run: ``python -m prunelab.tui.runs.worker DIRECTORY``.

It appends events to `events.jsonl` and updates `status.json`; no other process writes these files. The
command line uses the same class in its own process. The events are described in `prunelab.tui.runs.schemas`.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import select
import signal
import socket
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from ...estimators.backend import share_processors
from ...estimators.files import open_regular, replace_file, sealed_json
from ...estimators.parameters import WAYS
from ...estimators.registry import estimator_class
from ..exit_status import EXIT_FAILED
from . import locks
from .events import EventLog
from .reasons import is_expected, reason_of
from .records import FORMAT, write_record
from .store import Run, RunError, is_regular
from .supervisor import READY
from .view import RunView

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Bunch

    from ...estimators.path import PathPoint
    from ...estimators.training.events import Event
    from ...estimators.training.state import Checkpoint

SECONDS_BETWEEN_STATUS = 0.4
SECONDS_BETWEEN_CHECKPOINTS = 20.0

#: With more seeds than this, only the first seed keeps its dense network.
MODELS_KEPT = 10


#: Detached workers have a lower priority than interactive programs such as the lab.
NICENESS = 5


class Stopped(Exception):  # noqa: N818 (it is not an error)
    """The user has asked the run to stop."""


class Worker:
    """Computes one run, continuing from the points that earlier workers finished.

    Parameters
    ----------
    run : Run
    lock : int, optional
        Descriptor of the run's lock, if it is already taken.
    on_event : callable, optional
        Called with the events of `sweep`.
    on_point : callable, optional
        Called with every `PathPoint`, after it is on the disk.
    on_seed : callable, optional
        Called with every seed before it begins.
    on_ready : callable, optional
        Called when the data are loaded and the computation begins.
    data : Bunch, optional
        The data of the run, if already loaded.
    memory : str, optional
        A folder that caches trainings; see `PrunedMLPClassifier`. It is not part of a run, whose files may come from
        elsewhere and must not name a folder to read and write.

    Raises
    ------
    RunError
        If the run cannot be read, or is already running.
    OSError
        If its files cannot be opened.
    """

    def __init__(
        self,
        run: Run,
        lock: int | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        on_point: Callable[[PathPoint], None] | None = None,
        on_seed: Callable[[int], None] | None = None,
        on_ready: Callable[[], None] | None = None,
        data: Bunch | None = None,
        memory: str | None = None,
    ):
        self.run = run
        self.data = data
        self.reason = ""
        self._memory = memory
        self._on_event, self._on_point, self._on_seed, self._on_ready = on_event, on_point, on_seed, on_ready
        self._stop_asked = self._is_status_lost = False
        self._view = RunView(run.spec)
        self._lock = run.lock() if lock is None else lock
        try:
            with contextlib.suppress(OSError):  # a full disk is reported when results are written
                run.sign_lock(self._lock)
            run.remove_leftovers()
            self._log = EventLog(run.events_path)
        except BaseException:
            os.close(self._lock)
            raise
        for event in self._log.earlier:
            self._view.apply(event)
        self._seed = run.spec.seeds[0]
        self._status_written = self._checkpoint_written = self._batch_told = 0.0
        self._heartbeat = locks.Heartbeat(self._lock, self.run.lock_path)

    def stop(self) -> None:
        """Ask the worker to stop at the next step; safe in signal handlers."""
        self._stop_asked = True

    def work(self) -> str:
        """Compute until the run is finished, stopped or failed; returns which, and sets `reason`."""
        try:
            state = self._work()
        except Exception as error:
            state, self.reason = "failed", reason_of(error)
            if not is_expected(error):
                import traceback

                traceback.print_exc()
        try:
            self._tell(state, sync=True, **({"reason": self.reason} if state == "failed" else {}))
        except OSError as error:  # a full disk, or a deleted folder: existing results remain readable
            state, self.reason = "failed", self.reason or reason_of(error)
        self._write_status(state)
        with contextlib.suppress(OSError):
            self.run.stop_path.unlink(missing_ok=True)
        return state

    def close(self) -> None:
        """Release the run."""
        self._heartbeat.stop()
        self._log.close()
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
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
                self._report_doubts()
                self._compute()
        except Stopped:
            return "stopped"
        for seed in spec.seeds:
            self.run.checkpoint_path(seed).unlink(missing_ok=True)
        return "finished"

    def _report_doubts(self) -> None:
        """Report what may make the results unreliable."""
        if self._log.n_damaged:
            warnings.warn(
                f"events.jsonl has damaged lines ({self._log.n_damaged}), which are ignored: their points are "
                "recomputed",
                stacklevel=2,
            )
        if not locks.acquire(self._lock):
            warnings.warn(
                f"the file system of {self.run.path} has no locks, so only its heartbeat protects a run from a "
                "second worker",
                stacklevel=2,
            )

    def _compute(self) -> None:
        from ...estimators.backend import resolve_device
        from ...estimators.data.datasets import load_source
        from ...estimators.studies.run import sweep

        spec = self.run.spec
        resolve_device(spec.parameter("device"))  # report a missing GPU before anything is loaded
        data = self.data
        if data is None:
            data = load_source(spec.source)
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
        if self._on_ready is not None:
            self._on_ready()
        for point in sweep(
            spec.make_estimator(memory=self._memory),
            data,
            sparsities=spec.sparsities,
            variants=spec.variants,
            seeds=spec.seeds,
            on_seed=self._begin_seed,
            on_event=self._take,
            done=self._points_done(),
            checkpoint_of=self._checkpoint_of,
            watch=True,
        ):
            self._end_point(point)

    def _points_done(self) -> set[tuple[int, int, float]]:
        """The known points; without the first one of a seed whose network is damaged, so that it is retrained."""
        estimator = estimator_class(self.run.spec.estimator)
        done = self._view.points.keys()
        for seed in self.run.models():
            try:
                with warnings.catch_warnings(action="ignore"):  # about files without a checksum
                    estimator.load(self.run.model_path(seed))
            except ValueError as error:
                warnings.warn(f"{error}; seed {seed} is trained again", stacklevel=2)
                self.run.model_path(seed).unlink(missing_ok=True)
                done.discard(self.run.spec.point_at(self.run.spec.seeds.index(seed) * self.run.spec.points_per_seed))
        return done

    def _checkpoint_of(self, seed: int) -> Checkpoint | None:
        from ...estimators.checkpoints import CheckpointError, load_checkpoint

        path = self.run.checkpoint_path(seed)
        try:
            return load_checkpoint(path) if is_regular(path) else None
        except CheckpointError as error:
            warnings.warn(f"{error}; the training of seed {seed} restarts", stacklevel=2)
            return None

    # -- events ----------------------------------------------------------------------------------------------

    def _begin_seed(self, seed: int) -> None:
        self._seed = seed
        self._is_trained = False
        self._checkpoint_written = time.monotonic()
        self._tell("seed", seed=seed)
        if self._on_seed is not None:
            self._on_seed(seed)
        self._heed_stop()

    def _take(self, event: Event) -> None:
        """Handle a training event."""
        from ...estimators.training.events import BatchEnded, EpochEnded

        if isinstance(event, (BatchEnded, EpochEnded)):
            is_epoch = isinstance(event, EpochEnded)
            figures = {name: value for name, value in vars(event).items() if name not in ("checkpoint", "is_resumable")}
            now = time.monotonic()
            # Log fewer events of long trainings: one or two thousand draw a curve as well as a million.
            if is_epoch or now - self._batch_told >= max(0.2, event.seconds / 300):
                self._batch_told = now
                self._tell("epoch" if is_epoch else "batch", **figures)
            else:
                self._view.apply({"type": "epoch" if is_epoch else "batch", **figures})
            if now - self._status_written >= SECONDS_BETWEEN_STATUS:
                self._write_status("running")
            if event.is_resumable and now - self._checkpoint_written >= SECONDS_BETWEEN_CHECKPOINTS:
                self._save_checkpoint(event.checkpoint())
        if self._on_event is not None:
            self._on_event(event)
        if isinstance(event, (BatchEnded, EpochEnded)):
            self._heed_stop(event.checkpoint if event.is_resumable else None)

    def _end_point(self, point: PathPoint) -> None:
        if not self._is_trained:
            self._end_training(point)
        from ...estimators.accounting import units_left, weights_left

        row = {**point.row, **{name: getattr(point.estimator, name) for name in WAYS}}
        if row in self._view.points:  # recomputed because its training was needed
            return
        self._tell(
            "point",
            sync=True,  # on the disk before any process can read it
            row=row,
            point=len(self._view.rows) + 1,
            points=self.run.spec.n_points,
            layers=weights_left(point.network, point.model.pruned.masks),
            units=units_left(point.network, point.model.tensors),
        )
        self._write_status("running")
        if self._on_point is not None:
            self._on_point(point)
        if len([None for other in self._view.rows if other["seed"] == self._seed]) == self.run.spec.points_per_seed:
            self.run.checkpoint_path(self._seed).unlink(missing_ok=True)
        self._heed_stop()

    def _end_training(self, point: PathPoint) -> None:
        """Keep the dense network, for later workers and for the Explore screen."""
        from ...estimators.persistence import dumps
        from ...estimators.training.state import Checkpoint, Training

        self._is_trained = True
        training, task = point.dense.training, point.dense.task
        if self.run.spec.points_per_seed > 1:
            bare = Training(training.tensors, training.loss_curve, training.validation_scores)
            best, best_step = training.early_stop_tensors, training.early_stop_step or 0
            self._save_checkpoint(Checkpoint(bare, 0, task.recipe.max_iter, best=best, best_step=best_step))
        path = self.run.model_path(self._seed)
        is_wanted = len(self.run.spec.seeds) <= MODELS_KEPT or self._seed == self.run.spec.seeds[0]
        if is_wanted and not is_regular(path):
            replace_file(path, dumps(point.to_dense_classifier()), sync=True)
        self._tell(
            "dense",
            seed=self._seed,
            device=task.device,
            precision=task.precision,
            sizes=task.network.widths,
            widths=task.network.layer_widths,
            epochs=len(training.loss_curve),
            accuracy=point.dense_accuracy,
        )

    def _heed_stop(self, checkpoint: Callable[[], Checkpoint] | None = None) -> None:
        if self._stop_asked or os.path.lexists(self.run.stop_path):
            if checkpoint is not None:
                self._save_checkpoint(checkpoint())
            raise Stopped
        if not self.run.path.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of the run was deleted", str(self.run.path))

    # -- files -----------------------------------------------------------------------------------------------

    def _save_checkpoint(self, checkpoint: Checkpoint) -> None:
        from ...estimators.checkpoints import save_checkpoint

        save_checkpoint(checkpoint, self.run.checkpoint_path(self._seed))
        self._checkpoint_written = time.monotonic()

    def _tell(self, kind: str, *, sync: bool = False, **fields: Any) -> None:
        event = {"type": kind, "t": round(time.time(), 3), **fields}
        self._log.append(event, sync=sync)
        self._view.apply(event)

    def _write_status(self, state: str) -> None:
        """Write the summary. It is only informative, so an error does not end the run."""
        self._status_written = time.monotonic()
        status = {"state": state, "reason": self.reason, **self._view.figures()}
        try:
            write_record(self.run.status_path, status, sync=state != "running")
        except OSError as error:
            if state == "running" and not self._is_status_lost:
                self._is_status_lost = True
                self._tell("note", text=f"status.json cannot be written: {reason_of(error)}")
            elif state != "running":
                self._overwrite_status(status)

    def _overwrite_status(self, status: dict[str, Any]) -> None:
        """Write the final state into the existing file, which needs no space on the disk."""
        data = sealed_json({"format": FORMAT, **status})
        with contextlib.suppress(OSError):
            descriptor = open_regular(self.run.status_path, os.O_WRONLY, follow_links=False)
            try:
                os.write(descriptor, data)
                os.ftruncate(descriptor, len(data))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

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


def main(arguments: list[str]) -> int:
    """Run as a separate process."""
    parser = argparse.ArgumentParser(description="Compute a run.")
    parser.add_argument("directory", help="directory of the run")
    parser.add_argument("--lock", type=int, help="descriptor of its lock, if already taken")
    parser.add_argument("--report", type=int, help="descriptor of a pipe: see `prunelab.tui.runs.supervisor`")
    parser.add_argument("--memory", help="folder that caches trainings")
    options = parser.parse_args(arguments)

    def report(text: str) -> None:
        if options.report is not None:
            with contextlib.suppress(OSError):  # the reader may be closed
                os.write(options.report, f"{text}\n".encode()[: select.PIPE_BUF])

    def fail(reason: str) -> int:
        report(reason)
        with contextlib.suppress(OSError):  # the disk of the log may be full
            print(reason, file=sys.stderr, flush=True)
        return EXIT_FAILED

    share_processors()
    os.nice(NICENESS)
    if options.report is not None:
        os.set_inheritable(options.report, False)
    try:
        run = Run(options.directory)
        worker = Worker(run, options.lock, on_ready=lambda: report(READY), memory=options.memory)
    except (RunError, OSError) as error:
        return fail(reason_of(error))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    state = worker.work()
    worker.close()
    return fail(worker.reason) if state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
