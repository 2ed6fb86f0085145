"""``prunelab study``: run the missing experiments of a study, and report its verdict.

Each experiment is a run in the store, or several for some of its seeds each: an interrupted study continues where it
stopped, additional seeds extend the known ones, and the lab shows all of these runs.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...estimators.files import write_output
from ...estimators.studies.catalogue import STUDIES, parts_of
from ..exit_status import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
from ..output import Terminal
from ..runs import locks, parallel
from ..runs.parallel import Share
from ..runs.store import Run, RunError, RunStore, numbers
from ..streams import print_message
from ..tables import csv_text, json_text
from ..text import duration
from .common import check_can_write, run_safely, usage_errors
from .foreground import stopped_by_interrupt
from .request import check_here, from_anywhere, options_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pandas as pd
    from sklearn.utils import Bunch

    from ...estimators.studies.catalogue import Study
    from ...estimators.studies.verdicts import Answer
    from ..runs.spec import RunSpec

#: The default limit: each process holds the data set in memory.
MAX_JOBS = 8


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``study`` command; returns the exit status."""
    if options.study is None:
        for name, study in STUDIES.items():
            print(f"{name:15} {study.question}")
        return 0
    return run_safely(_run, options)


def _run(options: argparse.Namespace) -> int:
    if options.study not in STUDIES:
        raise UsageError(f"there is no study {options.study!r}; the studies are {', '.join(STUDIES)}")
    for path in (options.csv, options.json):
        if path not in (None, "-"):
            check_can_write(Path(path))
    specs = _specs(options)
    for spec in specs.values():
        spec.check()
    checked = {_data_key(spec): spec for spec in specs.values()}
    # Load all data before hours of computing.
    data = {key: check_here(spec, options) for key, spec in checked.items()}
    if (options.jobs or 1) > 1 and not locks.HAS_WORKERS:
        raise UsageError(locks.NO_WORKERS)
    jobs = options.jobs or (1 if options.quick else _jobs_that_pay(specs.values()))
    store = RunStore()
    shares = {label: shares_of(store, spec, jobs, options.again) for label, spec in specs.items()}
    unfinished = [share for part in shares.values() for share in part if share.state != "finished"]
    hint = "finished points are kept; the same command continues from here"
    jobs = min(jobs, len(unfinished))
    try:
        with _timed(unfinished, jobs, data, options):
            _compute(unfinished, jobs, options)
    except KeyboardInterrupt:
        return _fail(f"stopped; {hint}", EXIT_INTERRUPTED)
    for share in unfinished:
        state = share.state
        if state == "stopped":
            return _fail(f"stopped; {hint}", EXIT_INTERRUPTED)
        if state != "finished":
            reason = share.ensure_run().status().get("reason") or "a worker process was ended"
            return _fail(f"{reason}; {hint}", EXIT_FAILED)
    _show(_answer(options, specs, shares), options)
    return 0


def _specs(options: argparse.Namespace) -> dict[str, RunSpec]:
    """The experiments of a study."""
    from ...estimators.data.datasets import dataset_names
    from ..runs.spec import RunSpec

    study = _study(options)
    seeds = options.seeds or (study.quick_seeds if options.quick else study.seeds)
    specs = {}
    for label, preset in parts_of(study, options.quick).items():
        device = {} if options.device == "auto" else {"device": options.device}
        spec = RunSpec(
            dataset=options.dataset or preset.dataset,
            estimator=preset.estimator,
            pixels=preset.pixels if options.dataset in (None, *dataset_names()) else "auto",
            options=options_of(options, preset.label_noise),
            parameters={**preset.parameters, **device},
            ways=preset.ways,
            sparsities=tuple(preset.sparsities),
            seeds=tuple(range(seeds)),
            data_root=options.data_root,
            name=_run_name(options, label),
        )
        specs[label] = from_anywhere(spec)
    return specs


def _study(options: argparse.Namespace) -> Study:
    """The study, with the networks asked for."""
    from ...estimators.studies.networks import with_estimator

    with usage_errors():
        return with_estimator(STUDIES[options.study], options.study, options.estimator)


def _run_name(options: argparse.Namespace, label: str) -> str:
    network = "" if options.estimator == "mlp" else f", {options.estimator}"
    return f"{options.study}{network}{' (quick)' if options.quick else ''}{': ' + label if label else ''}"


def _jobs_that_pay(specs: Collection[RunSpec]) -> int:
    """The number of processes: one per processor, up to one per seed; one on a GPU, which they would have to share."""
    from ...estimators.backend import resolve_device

    if not locks.HAS_WORKERS or any(resolve_device(spec.parameter("device")).type != "cpu" for spec in specs):
        return 1
    return min(os.cpu_count() or 1, sum(len(spec.seeds) for spec in specs), MAX_JOBS)


def shares_of(store: RunStore, spec: RunSpec, jobs: int = 1, again: bool = False) -> list[Share]:
    """Runs that together contain all seeds of an experiment: earlier ones, and up to `jobs` new ones."""
    missing, found = set(spec.seeds), []
    content = spec.source.content()
    for run in () if again else store.runs():
        try:
            theirs = run.spec
            if not theirs.is_like(spec) or (run.state == "finished" and not run.read_points()[0].is_complete):
                continue
            if (run.data or {}).get("content") != content:  # computed from another version of the file
                continue
        except RunError:
            continue
        seeds = set(theirs.seeds)
        # An unfinished run computes all of its seeds, so all of them must be needed.
        if not seeds & missing:
            continue
        if run.state == "finished" or seeds <= missing:
            found.append(Share(store, theirs, run))
            missing -= seeds
    new = [seed for seed in spec.seeds if seed in missing]
    n_new = min(jobs, len(new))
    return [*found, *(Share(store, dataclasses.replace(spec, seeds=tuple(new[i::n_new]))) for i in range(n_new))]


def _data_key(spec: RunSpec) -> tuple[Any, ...]:
    return spec.source, spec.parameter("device")


@contextmanager
def _timed(
    shares: Sequence[Share], jobs: int, data: Mapping[tuple[Any, ...], Bunch], options: argparse.Namespace
) -> Iterator[None]:
    """Print the estimated duration of the block before it, and the actual one after it."""
    if not shares or options.quiet:
        yield
        return
    from ...estimators.studies.duration import estimated_seconds, one_of

    seconds = 0.0
    with one_of(jobs):
        for share in shares:
            spec = share.spec
            missing = (spec.n_points - share.n_points_done) / spec.points_per_seed
            found = data[_data_key(spec)]
            of_seed = estimated_seconds(spec.parameters, spec.ways, spec.sparsities, found, spec.estimator)
            seconds += missing * of_seed
    estimated = duration(seconds / jobs)
    print(f"estimated duration: {estimated}", file=sys.stderr)
    start = time.monotonic()
    yield
    print(f"took {duration(time.monotonic() - start)} (estimated {estimated})", file=sys.stderr)


def _compute(shares: Sequence[Share], jobs: int, options: argparse.Namespace) -> None:
    """Compute unfinished runs: in this process if one at a time suffices and no other process computes one."""
    from ..progress import follow_on

    stream = sys.stderr if sys.stderr.isatty() and not options.quiet else None
    if jobs > 1 or any(share.state == "running" for share in shares):
        with follow_on(stream, shares) as follower:
            parallel.compute(shares, jobs, follower.update)
        return
    for number, share in enumerate(shares, 1):
        if stream is not None and len(shares) > 1:
            print_message(f"{number}/{len(shares)} {share.spec.name}", stream)
        if _compute_here(share.ensure_run(), stream) != "finished":
            return


def _compute_here(run: Run, stream: IO[str] | None) -> str:
    """Compute a run in this process; returns its state."""
    from ..progress import progress_on
    from ..runs.worker import Worker

    missing = run.spec.n_points - len(run.points())
    with progress_on(stream, missing, len(run.spec.seeds)) as progress:
        worker = Worker(run, on_event=progress.handle, on_seed=progress.begin_seed)
        try:
            with stopped_by_interrupt(worker):
                return worker.work()
        finally:
            worker.close()


def _answer(options: argparse.Namespace, specs: Mapping[str, RunSpec], shares: Mapping[str, Sequence[Share]]) -> Answer:
    import pandas as pd

    from ...estimators.studies.run import label_rows
    from ...estimators.studies.verdicts import analyse

    study = _study(options)
    rows: list[dict[str, Any]] = []
    for label, spec in specs.items():
        of_seed: dict[int, list[dict[str, Any]]] = {}
        for run in (share.ensure_run() for share in shares[label]):
            points = [numbers(row) for row in run.points()]
            of_seed |= {seed: [row for row in points if row["seed"] == seed] for seed in run.spec.seeds}
        wanted = [row for seed in spec.seeds for row in of_seed[seed]]
        rows += label_rows(wanted, label, spec.ways, study, spec.dataset)
    return analyse(study, pd.DataFrame(rows))


def _show(answer: Answer, options: argparse.Namespace) -> None:
    """Write the answer; only data to standard output unless it is a terminal, and the verdict to standard error."""
    study = _study(options)
    rows: list[dict[str, Any]] = answer.frame.to_dict("records")  # type: ignore[assignment]
    table, document = csv_text(rows, list(map(str, answer.frame))), _document(answer, study)
    if options.csv not in (None, "-"):
        write_output(options.csv, table)
    if options.json not in (None, "-"):
        write_output(options.json, document)
    terminal = Terminal.of(sys.stdout)
    if options.json == "-" or options.csv == "-" or not terminal.is_terminal:
        sys.stdout.write(document if options.json == "-" else table)
        print(f"{study.question}\n\n({answer.test})\n", file=sys.stderr)
        Terminal.of(sys.stderr).print_paragraphs(answer.verdict)
        return
    terminal.print_paragraphs([study.question])
    labels = (*study.within, *(() if study.compares_sparsities else ("method",))) or ("method",)
    terminal.print_results(rows, plot=True, ascii_only=options.ascii, ways=labels)
    print()
    _print_differences(terminal, answer, study.within)
    for column, table in answer.against_dense.items():
        print()
        _print_against_dense(terminal, column, table)
    print()
    terminal.print_paragraphs([f"({answer.test}; a knee is where two points are lost)"])
    for sentence in answer.verdict:
        terminal.print_paragraphs([sentence])


def _document(answer: Answer, study: Study) -> str:
    """The answer as a JSON document."""
    tables = {"differences": answer.differences}
    tables |= {f"{column}_against_dense": table for column, table in answer.against_dense.items()}
    tables["rows"] = answer.frame
    fields = {"question": study.question, "test": answer.test, "verdict": answer.verdict}
    return json_text({**fields, **{name: table.to_dict("records") for name, table in tables.items()}})


def _print_against_dense(terminal: Terminal, column: str, table: pd.DataFrame) -> None:
    """Print the differences between the networks of every method and the dense ones."""
    is_accuracy = column.endswith("accuracy")
    unit, scale, form = (" (%)", 100, ".2f") if is_accuracy else ("", 1, ",.0f")
    unit = column.replace("_", " ") + unit
    header = ["method", "sparsity", "seeds", f"dense: {unit}", "difference", "95 % from", "to", "p (Holm)"]
    cells = [
        [
            str(row["method"]),
            f"{row['sparsity']:.4g}",
            str(row["n"]),
            _figure(scale * row["dense"], form),
            *(_figure(scale * row[name], f"+{form}") for name in ("difference", "low", "high")),
            _p_value(row["p_holm"]),
        ]
        for row in table.to_dict("records")
    ]
    terminal.print_table(header, cells, left=["method"])


def _figure(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "-"


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else _figure(p, ".4f")


def _print_differences(terminal: Terminal, answer: Answer, within: tuple[str, ...]) -> None:
    """Print the differences from the baseline in percentage points."""
    table = answer.differences
    keys = [*within, "method", *(["sparsity"] if "sparsity" in table else [])]
    header = [*keys, "seeds", "difference", "95 % from", "to", "p (Holm)"]
    cells = [
        [
            *(f"{row[key]:.4g}" if key == "sparsity" else str(row[key]) for key in keys),
            str(row["n"]),
            *(_figure(100 * row[name], "+.2f") for name in ("difference", "low", "high")),
            _p_value(row["p_holm"]),
        ]
        for row in table.to_dict("records")
    ]
    terminal.print_table(header, cells, left=[*within, "method"])


def _fail(message: object, status: int) -> int:
    print_message(f"prunelab study: {message}")
    return status
