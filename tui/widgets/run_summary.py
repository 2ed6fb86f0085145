"""Text and numbers about a run: pure functions of its state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from textual.content import Content

from ...estimators.studies.statistics import mean_interval
from ..curves import curve_name
from ..runs import descriptions
from ..text import clean, duration

if TYPE_CHECKING:
    from ..runs.spec import RunSpec
    from ..runs.view import Row, RunView, RunWatcher

_STATE_STYLES = {
    "running": "bold $text-accent",
    "finished": "bold $text-success",
    "stopped": "bold $text-warning",
    "interrupted": "bold $text-warning",
    "failed": "bold $text-error",
    "unreadable": "bold $text-error",
}

#: Width of the text after the bars, so that the bars keep their length.
_WIDTH = 22


def heading(watcher: RunWatcher, ascii_only: bool) -> Content:
    """About three lines: name, state and preset, settings, and progress or result."""
    run, title = watcher.run, descriptions.title(watcher.run)
    beside = [descriptions.preset(run.spec), "" if title == descriptions.short_id(run) else descriptions.short_id(run)]
    lines = [
        Content.assemble(
            (clean(title, ascii_only), "bold"),
            "  ",
            (_state(watcher), _STATE_STYLES.get(watcher.state, "bold")),
            "  ",
            ("  ".join(filter(None, beside)), "$text-muted"),
        ),
        Content.assemble((clean(_what(watcher.view), ascii_only), "$text-muted")),
    ]
    if reason := _reason(watcher):
        lines.append(Content.assemble((clean(reason, ascii_only), "$text-error")))
    return Content("\n").join([*lines, Content(clean(_how(watcher), ascii_only))])


def _state(watcher: RunWatcher) -> str:
    """The state; "not responding" if the worker is suspended."""
    return "not responding" if watcher.state == "running" and watcher.status.get("reason") else watcher.state


def _what(view: RunView) -> str:
    spec = view.spec
    parts = [
        descriptions.dataset(spec),
        descriptions.with_estimator(spec, "-".join(map(str, view.sizes))) if view.sizes else descriptions.widths(spec),
    ]
    if view.sizes:
        parts.append(f"{view.precision} on {view.device}")
    if view.n_train:
        parts.append(f"{view.n_train:,} + {view.n_test:,} samples")
    return ", ".join(parts)


def _reason(watcher: RunWatcher) -> str:
    parts = [watcher.reason if watcher.state in ("failed", "interrupted", "unreadable", "running") else ""]
    return "; ".join(filter(None, [*parts, watcher.doubt]))


def _how(watcher: RunWatcher) -> str:
    view = watcher.view
    if watcher.state == "running":
        return _speed(view)
    if watcher.state == "finished":
        return f"{len(view.rows)} points in {duration(view.seconds)}{_outcome(view)}"
    if watcher.state == "gone":
        return "its folder was deleted"
    return f"{len(view.rows)} of {view.n_points} points are finished; press u to resume"


def _speed(view: RunView) -> str:
    if view.batch is None:
        return "pruning and evaluating" if view.sizes else "loading the data"
    rate = f"{view.samples_per_second:,.0f} images/s"
    left = view.seconds_left
    return f"{rate}, {duration(left)} left of this {_phase(view)}" if left is not None else rate


def _outcome(view: RunView) -> str:
    dense = view.dense_accuracy
    text = f"; dense {100 * dense:.2f} %" if dense is not None and math.isfinite(dense) else ""
    found = view.knees()
    if len(found) > 2:  # too many for the heading; the plot shows them
        return text
    knees = ", ".join(f"{name} {100 * value:.0f} %" for name, value in found.items())
    return text + (f"; knee at {knees}" if knees else "")


def _phase(view: RunView) -> str:
    return str(view.batch["phase"]) if view.batch is not None else "training"


def activity(watcher: RunWatcher) -> str:
    """The progress for the navigation bar; empty if the run is not running."""
    view = watcher.view
    if not watcher.is_live:
        return ""
    if view.batch is not None and _phase(view) == "training":
        seed = f"seed {view.seed}, " if len(view.spec.seeds) > 1 else ""
        return f"{seed}epoch {view.batch['epoch']}/{view.batch['epochs']}"
    return f"{len(view.rows)}/{view.n_points} points"


def progress(view: RunView) -> list[tuple[str, float, str]]:
    """Bars of the current training, of the points, and of the seeds if there are several."""
    bars = [_epochs(view), ("points", len(view.rows) / max(view.n_points, 1), f"{len(view.rows)}/{view.n_points}")]
    if (n_seeds := len(view.spec.seeds)) > 1:
        done = len(view.rows) // view.spec.points_per_seed
        bars.append(("seeds", done / n_seeds, f"{done}/{n_seeds}"))
    return bars


def _epochs(view: RunView) -> tuple[str, float, str]:
    batch = view.batch
    if batch is None:
        trained = bool(view.curves) and view.curves[-1].seed == view.seed and bool(view.sizes)
        return "epochs", float(trained), f"{'trained' if trained else '':>{_WIDTH}}"
    label = "epochs" if batch["phase"] == "training" else str(batch["phase"])
    text = f"{batch['epoch']}/{batch['epochs']}"
    if "batch" in batch:
        text += f", batch {batch['batch']}/{batch['batches']}"
    return label, view.epochs_done / batch["epochs"], f"{text:>{_WIDTH}}"


# Points -------------------------------------------------------------------------------------------------


def accuracies(rows: list[Row], spec: RunSpec) -> dict[tuple[str, float], list[float]]:
    """The accuracies of every curve and sparsity, one per seed; NaN if it could not be measured."""
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        accuracy = math.nan if row["accuracy"] is None else float(row["accuracy"])
        found.setdefault((curve_name(row, spec), row["sparsity"]), []).append(accuracy)
    return found


def accuracy_in_words(values: list[float], ascii_only: bool) -> str:
    """Percent, with half the width of the 95 % interval of the mean over several seeds."""
    mean, low, high = mean_interval(values)
    if not math.isfinite(mean):
        return "none"
    sign = "+-" if ascii_only else "±"
    return _percent(mean) + (f" {sign}{_percent((high - low) / 2)}" if math.isfinite(low) else "")


def _percent(fraction: float) -> str:
    """Format a fraction as a percentage of at most five characters."""
    return "100.0" if fraction >= 0.99995 else f"{100 * fraction:.2f}"


def layer_bars(
    counts: list[list[int]], widths: list[list[int]], names: list[str], of: str, *, is_wide: bool, ascii_only: bool
) -> list[tuple[str, float, str]]:
    """One bar per layer: the fraction of its remaining weights or units, and, if there is room, their number.

    Layers without names are numbered.
    """
    arrow = "-" if ascii_only else "→"
    bars = []
    for i, (kept, total) in enumerate(counts):
        is_known = of == "weights" and len(widths) > i
        name = names[i] if len(names) > i else f"layer {i + 1}"
        label = arrow.join(map(str, widths[i])) if is_known else name
        part = kept / total if total else 0.0
        percent = f"{100 * part:.1f} %"
        bars.append((label, part, f"{kept:,} of {total:,}, {percent:>7}" if is_wide else percent))
    return bars


def loss_curve(
    loss: list[tuple[float, float]], epoch_loss: list[tuple[float, float]]
) -> tuple[list[float], list[float]]:
    """The loss within and after the epochs as one curve."""
    points = sorted([*loss, *epoch_loss])
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    return x.tolist(), y.tolist()
