"""``prunelab study``: run the experiments of a study, or what is missing of them, and say what they found.

Each experiment is a run in the store: an interrupted study goes on where it was, and the lab shows its runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..estimators.backend import share_processors
from ..estimators.designs import STUDIES
from .commands import check_can_write, check_here, stopped_by_interrupt, warnings_as_notes
from .output import Terminal, json_text, write_file
from .runs.store import Run, RunError, RunStore
from .status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..estimators.analysis import Answer
    from .runs.spec import RunSpec


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``study`` command; returns the exit status."""
    if options.study is None:
        for name, study in STUDIES.items():
            print(f"{name:15} {study.question}")
        return 0
    share_processors()
    try:
        with warnings_as_notes():
            return _run(options)
    except (UsageError, RunError) as error:
        return _fail(error, EXIT_USAGE)
    except KeyboardInterrupt:
        return _fail("stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        return _fail(error, EXIT_FAILED)


def _run(options: argparse.Namespace) -> int:
    if options.study not in STUDIES:
        raise UsageError(f"there is no study {options.study!r}; the studies are {', '.join(STUDIES)}")
    for path in (options.csv, options.json):
        if path not in (None, "-"):
            check_can_write(Path(path))
    specs = _specs(options)
    for spec in specs.values():
        spec.check()
        check_here(spec, options)  # all of them, before hours go into the first
    runs: dict[str, Run] = {}
    for number, (label, spec) in enumerate(specs.items(), 1):
        which = f"{number}/{len(specs)} {label}".strip() if len(specs) > 1 else ""
        runs[label], state = _complete(spec, options, which)
        if state != "finished":
            reason = runs[label].status().get("reason") or "stopped"
            hint = "what is finished is kept; the same command goes on from here"
            return _fail(f"{reason}; {hint}", EXIT_INTERRUPTED if state == "stopped" else EXIT_FAILED)
    _show(_answer(options, runs), options)
    return 0


def _specs(options: argparse.Namespace) -> dict[str, RunSpec]:
    """The runs of a study."""
    from ..estimators.designs import quick
    from .runs.spec import RunSpec

    study = STUDIES[options.study]
    seeds = options.seeds or (study.quick_seeds if options.quick else study.seeds)
    specs = {}
    for label, preset in study.parts.items():
        preset = quick(preset) if options.quick else preset
        device = {} if options.device == "auto" else {"device": options.device}
        specs[label] = RunSpec(
            dataset=options.dataset or preset.dataset,
            parameters={**preset.parameters, **device},
            ways=preset.ways,
            sparsities=tuple(preset.sparsities),
            seeds=tuple(range(seeds)),
            data_root=options.data_root,
            name=f"{options.study}{' (quick)' if options.quick else ''}{': ' + label if label else ''}",
        )
    return specs


def _complete(spec: RunSpec, options: argparse.Namespace, which: str) -> tuple[Run, str]:
    """The run of a spec, computed as far as it was not; and its state."""
    from .progress import progress_on
    from .runs.worker import Worker

    store = RunStore()
    run = None if options.again else _earlier(store, spec)
    if run is not None and run.state == "running":
        raise RunError(f"{run.id} computes this already: prunelab attach {run.id} shows it")
    if run is not None and run.state == "finished":
        return run, "finished"
    run = store.create(spec) if run is None else run
    shows_progress = sys.stderr.isatty() and not options.quiet
    if which and shows_progress:
        print(which, file=sys.stderr)
    missing = spec.n_points - len(run.points())
    with progress_on(sys.stderr if shows_progress else None, missing, len(spec.seeds)) as progress:
        worker = Worker(run, on_event=progress.tell, on_seed=progress.begin_seed)
        try:
            with stopped_by_interrupt(worker):
                return run, worker.work()
        finally:
            worker.close()


def _earlier(store: RunStore, spec: RunSpec) -> Run | None:
    """The newest run of the very same experiment, if there is any."""
    wanted = spec.to_json()
    for run in store.runs():
        try:
            if run.spec.to_json() == wanted:
                return run
        except RunError:
            continue
    return None


def _answer(options: argparse.Namespace, runs: Mapping[str, Run]) -> Answer:
    import pandas as pd

    from ..estimators.analysis import analyse
    from ..estimators.studies import label_rows

    study = STUDIES[options.study]
    rows: list[dict[str, Any]] = []
    for label, run in runs.items():
        rows += label_rows([_numbers(row) for row in run.points()], label, run.spec.ways, study)
    return analyse(study, pd.DataFrame(rows))


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with NaN and inf where JSON has none."""
    infinite = {"compression", "speedup"}
    return {
        name: float("nan") if value is None else float("inf") if name in infinite and value == "inf" else value
        for name, value in row.items()
    }


def _show(answer: Answer, options: argparse.Namespace) -> None:
    from ..estimators.analysis import TEST

    rows: list[dict[str, Any]] = answer.frame.to_dict("records")  # type: ignore[assignment]
    if options.csv not in (None, "-"):
        write_file(Path(options.csv), answer.frame.to_csv(index=False))
    if options.json not in (None, "-"):
        write_file(Path(options.json), json_text(rows) + "\n")
    terminal = Terminal.of(sys.stdout)
    if options.json == "-":
        print(json_text(rows))
        return
    if not terminal.is_terminal or options.csv == "-":
        sys.stdout.write(answer.frame.to_csv(index=False))
        return
    study = STUDIES[options.study]
    terminal.print_paragraphs([study.question])
    labels = (*study.within, *(() if study.compares_sparsities else ("method",))) or ("method",)
    terminal.print_results(rows, plot=True, ascii_only=options.ascii, ways=labels)
    print()
    _print_differences(terminal, answer, study.within)
    print(f"\n({TEST}; a knee is where two points are lost)\n")
    for sentence in answer.verdict:
        terminal.print_paragraphs([sentence])


def _print_differences(terminal: Terminal, answer: Answer, within: tuple[str, ...]) -> None:
    """The differences from the baseline, in points."""
    table = answer.differences
    keys = [*within, "method", *(["sparsity"] if "sparsity" in table else [])]
    header = [*keys, "seeds", "difference", "95 % from", "to", "p (Holm)"]
    cells = [
        [
            *(f"{row[key]:g}" if key == "sparsity" else str(row[key]) for key in keys),
            str(row["n"]),
            *(f"{100 * row[name]:+.2f}" for name in ("difference", "low", "high")),
            "< 0.0001" if row["p_holm"] < 0.0001 else f"{row['p_holm']:.4f}",
        ]
        for row in table.to_dict("records")
    ]
    terminal.print_table(header, cells, left=[*within, "method"])


def _fail(message: object, status: int) -> int:
    print(f"prunelab study: {message}", file=sys.stderr)
    return status
