"""``prunelab runs``: list and manage runs without the app. Imports neither Textual nor torch."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exit_status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from ..output import ADDED_LABELS, Terminal
from ..runs import supervisor
from ..runs.descriptions import title, training
from ..runs.export import FORMATS, default_name, export, export_text, model_bytes
from ..runs.store import Run, RunError, RunStore, numbers
from ..runs.view import doubt_about
from ..streams import print_message, shown
from ..tables import json_text
from ..text import clean, duration

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``runs`` command; returns the exit status."""
    action = options.action or "list"
    try:
        return _ACTIONS[action](options, RunStore())
    except supervisor.WorkerError as error:
        print_message(f"prunelab runs {action}: {error}")
        return EXIT_FAILED
    except (RunError, UsageError) as error:
        print_message(f"prunelab runs {action}: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        print_message(f"prunelab runs {action}: {error}")
        return EXIT_FAILED


def _list(options: argparse.Namespace, store: RunStore) -> int:
    summaries = [summary(one) for one in store.runs()]
    if options.json:
        sys.stdout.write(json_text(summaries))
        return 0
    has_one_kind = {one["estimator"] for one in summaries} <= {"mlp", ""}
    if not summaries:
        print_message(f"no runs yet in {store.folder}; start one with prunelab or prunelab sweep")
        return 0
    header = ["run", "name", "state", "data", *([] if has_one_kind else ["network"]), "points", "dense %", "knee %"]
    header += ["when", "took"]
    rows = [
        [
            one["id"],
            one["name"],
            "not responding" if one["state"] == "running" and one["reason"] else one["state"],
            Path(one["dataset"]).name,
            *([] if has_one_kind else [one["estimator"]]),
            f"{one['points']}/{one['n_points']}",
            "" if one["dense_accuracy"] is None else f"{100 * one['dense_accuracy']:.2f}",
            _knees([knee for knee in one["knees"].values() if knee is not None]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one["created"])) if one["created"] else "",
            duration(one["seconds"]),
        ]
        for one in summaries
    ]
    Terminal.of(sys.stdout).print_table(header, rows, left={"run", "name", "state", "data", "network"})
    for one in summaries:
        if one["state"] in ("unreadable", "running") and one["reason"]:
            print(f"{one['id']}: {one['reason']}", file=sys.stderr)
    return 0


def _show(options: argparse.Namespace, store: RunStore) -> int:
    one = store.find(options.run)
    points, reader = one.read_points()
    rows = points.rows
    if doubt := doubt_about(reader, len(rows), one.spec.n_points):
        print_message(f"note: {doubt}")
    if options.json:
        counts = {"damaged_lines": reader.n_damaged, "unverified_lines": reader.n_unverified}
        sys.stdout.write(
            json_text({**summary(one), "spec": one.spec.to_json(), "data": one.data, **counts, "rows": rows})
        )
        return 0
    facts = summary(one)
    print_message(f"{facts['id']}{': ' + facts['name'] if facts['name'] else ''}", sys.stdout)
    state = f"{facts['state']}, {facts['points']} of {facts['n_points']} points, {duration(facts['seconds'])}"
    print_message(f"{state}{': ' + facts['reason'] if facts['reason'] else ''}", sys.stdout)
    if one.spec.estimator != "mlp":
        print_message(f"estimator {one.spec.estimator}: {training(one.spec)}", sys.stdout)
    if facts["state"] in ("stopped", "interrupted", "failed", "unreadable") or (
        facts["state"] == "finished" and not points.is_complete
    ):
        print(f"continue with: prunelab runs resume {one.id}")
    for assumption in (one.data or {}).get("assumptions", ()):
        print(f"assumed {clean(assumption, options.ascii)}")
    for name, value in facts["knees"].items():
        print_message(f"knee of {name}: {100 * value:.1f} % removed", sys.stdout)
    if rows:
        numbered = [_with_numbers(row, one) for row in rows]
        Terminal.of(sys.stdout).print_results(numbered, plot=True, ascii_only=options.ascii)
    return 0


def _export(options: argparse.Namespace, store: RunStore) -> int:
    one = store.find(options.run)
    kind = options.format or _kind_of(options.output)
    if kind not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, got {kind!r}")
    if options.output == "-" and kind == "model":
        if sys.stdout.isatty():
            raise UsageError("cannot write a model to a terminal: name a file or a folder with --output")
        sys.stdout.buffer.write(model_bytes(one, options.seed))
    elif options.output == "-":
        sys.stdout.write(export_text(one, kind))
    else:
        print_message(export(one, kind, options.output or default_name(one, kind), options.seed), sys.stdout)
    return 0


def _resume(options: argparse.Namespace, store: RunStore) -> int:
    one = store.find(options.run)
    supervisor.resume(one)
    supervisor.wait_until_ready(one)
    print(one.id)
    return 0


def _stop(options: argparse.Namespace, store: RunStore) -> int:
    one = store.find(options.run)
    if not one.is_alive():
        raise RunError(f"{one.id} is not running")
    if supervisor.stop(one):
        print("the run stops after its current step; stop it again to end it immediately")
    else:
        supervisor.kill(one)
        print("ended")
    return 0


def _rename(options: argparse.Namespace, store: RunStore) -> int:
    store.find(options.run).rename(options.name)
    return 0


def _delete(options: argparse.Namespace, store: RunStore) -> int:
    chosen = list({one.id: one for one in map(store.find, options.run)}.values())
    for one in chosen:
        if one.is_alive():
            raise RunError(f"{one.id} is running: stop it before you delete it")
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError("cannot ask for confirmation, because standard input is not a terminal: add --yes")
        names = shown(", ".join(title(one) for one in chosen), sys.stdout)
        if input(f"Delete {names} and all their files? [y/N] ").strip().lower() not in ("y", "yes"):
            return EXIT_FAILED
    for one in chosen:
        one.delete()
    return 0


_ACTIONS = {
    "list": _list,
    "show": _show,
    "export": _export,
    "resume": _resume,
    "stop": _stop,
    "rename": _rename,
    "delete": _delete,
}


def summary(one: Run) -> dict[str, Any]:
    """The state of a run as one flat object, also if the run cannot be read."""
    status = one.status()
    if problem := one.problem(status):
        status |= {"state": "unreadable", "reason": problem}
    try:
        spec = one.spec
    except RunError:
        spec = None
    return {
        "id": one.id,
        "name": one.name,
        "state": status["state"],
        "reason": status.get("reason", ""),
        "dataset": "" if spec is None else spec.dataset,
        "preset": "" if spec is None else spec.preset,
        "estimator": "" if spec is None else spec.estimator,
        "seeds": [] if spec is None else list(spec.seeds),
        "points": status.get("points", 0),
        "n_points": 0 if spec is None else spec.n_points,
        "dense_accuracy": status.get("dense_accuracy"),
        "knees": status.get("knees", {}),
        "created": one.created,
        "seconds": status.get("seconds", 0.0),
        "device": status.get("device", ""),
        "path": str(one.path),
    }


def _knees(values: list[float], most: int = 4) -> str:
    """Knees in percent; after the first few, the number of those left out."""
    rest = [f"+{len(values) - most}"] if len(values) > most else []
    return " ".join([*(f"{100 * value:.0f}" for value in values[:most]), *rest])


def _kind_of(output: str | None) -> str:
    """The format for a file's suffix; CSV if there is none."""
    ending = Path(output or "").suffix.lower().lstrip(".")
    return {"safetensors": "model", "": "csv"}.get(ending, ending)


def _with_numbers(row: dict[str, Any], one: Run) -> dict[str, Any]:
    """A row with NaN and inf in place of JSON's values, without the ways of pruning that do not vary."""
    return {k: v for k, v in numbers(row).items() if k not in ADDED_LABELS or len(one.spec.ways.get(k, ())) > 1}
