"""What the Explore screen shows of a pruned network, as text.

Pure functions, as in `prunelab.tui.drawing.plotting`, which return lines of exactly the requested width.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from rich.cells import cell_len

from ..text import clean, fitted, foreground, paint_line, shorten, width_of
from .bars import draw_bars
from .images import draw_gallery, fit_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..service.explorer import Figures, Gallery, Network, Picture

_BOLD, _RED, _GREEN, _GREY = "1", foreground(160), foreground(28), foreground(244)


def draw_figures(
    network: Network, figures: Figures, *, width: int, height: int, colour: bool = True, ascii_only: bool = False
) -> str:
    """Draw the figures of a pruned network: accuracy, size, speed, and the remaining weights per layer."""
    change = 100 * (figures.accuracy - network.accuracy)
    code = _RED if change <= -1 else _GREEN if change >= 0.005 else ""
    rows = [
        ("accuracy", _about(f"{100 * figures.accuracy:.2f} %", figures), (_signed(change, 2), code)),
        ("loss", _about(f"{figures.loss:.4g}", figures), (f"{figures.loss - network.loss:+.3g}", "")),
        ("removed", f"{100 * figures.achieved_sparsity:.2f} % of the {figures.granularity}s", ("", "")),
        ("effective", f"{100 * figures.effective_sparsity:.2f} % of the weights", ("", "")),
        ("non-zeros", f"{figures.nonzero:,} of {figures.parameters:,}", ("", "")),
        ("compression", _times(figures.compression), ("", "")),
        ("speed-up", _times(figures.speedup), ("in theory", "")),
    ]
    for name, counts in (("dead units", figures.dead_units), ("unconnected", figures.disconnected_units)):
        if any(counts):
            rows.append((name, ", ".join(map(str, counts)), ("by layer", "")))
    lines = [
        paint_line([(f"{name:<12}", ""), (f"{value:<14} ", _BOLD if name == "accuracy" else ""), rest], width, colour)
        for name, value, rest in rows
    ]
    lines += [paint_line([(line, _RED)], width, colour) for line in _warning(figures, width)]
    if height - len(lines) >= len(figures.layers) + 2:
        lines.append(" " * width)
    heading = [("remaining per layer", _BOLD)]
    right = "weights  units"
    heading.append((" " * (width - width_of(heading) - len(right)) + right, _GREY))
    lines.append(paint_line(heading, width, colour))
    arrow = "-" if ascii_only else "→"
    names = [f"{name} " for name in network.layer_names] or [""] * len(network.widths)
    bars = [
        (f"{name}{n_in}{arrow}{n_out}", kept / max(total, 1), f"{_percent(kept, total):>6} {units[0]:>5,}")
        for name, (n_in, n_out), (kept, total), units in zip(
            names, network.widths, figures.layers, figures.units, strict=False
        )
    ]
    lines += draw_bars(bars, width=width, colour=colour, ascii_only=ascii_only).split("\n")
    return "\n".join(_cut(lines, height, "layers", width))


def draw_classes(
    network: Network, figures: Figures, *, width: int, height: int, colour: bool = True, ascii_only: bool = False
) -> str:
    """Draw the accuracy of every class in percent, and its change; if there are too many, those that lost most."""
    before, after = network.class_accuracy, figures.class_accuracy
    order = list(range(len(after)))
    if len(order) > height:
        order.sort(key=lambda i: math.inf if math.isnan(after[i]) else after[i] - before[i])
    bars = [
        (network.classes[i], 0.0, "no samples")
        if math.isnan(after[i])
        else (network.classes[i], after[i], f"{100 * after[i]:5.1f} {_signed(100 * (after[i] - before[i])):>6}")
        for i in order
    ]
    lines = draw_bars(bars, width=width, colour=colour, ascii_only=ascii_only).split("\n")
    return "\n".join(_cut(lines, height, "classes", width))


def draw_pictures(
    network: Network, gallery: Gallery, *, width: int, height: int, colour: bool = True, ascii_only: bool = False
) -> tuple[str, int]:
    """Draw test images with their classes: first those that the pruning breaks, then those wrong before, then others.

    Returns
    -------
    text : str
    n_shown : int
        The number of images that fitted.
    """
    kinds = [
        [p for p in gallery.pictures if p.before == p.truth != p.after],
        [p for p in gallery.pictures if p.before != p.truth],
        [p for p in gallery.pictures if p.before == p.truth == p.after],
    ]
    headings = [
        f"{gallery.n_broken:,} of {gallery.n_broken + gallery.n_right:,} correct predictions become wrong",
        f"{gallery.n_wrong_before:,} were wrong before; pruning corrects {gallery.n_corrected:,} of them",
        f"{gallery.n_right:,} are right before and after pruning",
    ]
    shape = gallery.pictures[0].shape
    wanted = min(max(8, width * height // 120), 36)
    tile, _ = fit_images((shape[0], shape[1]), wanted, width, height - 1)
    tile_lines = max(1, round(shape[0] * tile / shape[1] / 2)) + 1
    per_row = max(1, (width + 1) // (tile + 1))
    lines: list[str] = []
    n_shown = 0
    for pictures, heading, code in zip(kinds, headings, (_RED, _GREY, _GREY), strict=True):
        rows = (height - len(lines) - 1 - bool(lines) + 1) // (tile_lines + 1)
        shown = pictures[: max(0, rows) * per_row]
        if pictures and not shown:
            break
        if not shown and (lines or gallery.n_broken):
            continue
        lines += [" " * width] if lines else []
        lines.append(paint_line([(shorten(heading, width, ascii_only), code if pictures else "")], width, colour))
        if not shown:
            continue
        lines += draw_gallery(
            [picture.image for picture in shown],
            [_caption(network.classes, picture, tile, ascii_only) for picture in shown],
            width=width,
            image_width=tile,
            colour=colour,
            ascii_only=ascii_only,
            limits=(0, 255),
        ).split("\n")
        n_shown += len(shown)
    return "\n".join(lines[:height]), n_shown


def _about(text: str, figures: Figures) -> str:
    return f"about {text}" if figures.is_estimate else text


def _signed(value: float, digits: int = 1) -> str:
    """Format a number with its sign, zero without one."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def _times(factor: float) -> str:
    return "nothing left" if math.isinf(factor) else f"{factor:.3g} times" if factor < 1000 else f"{factor:,.0f} times"


def _percent(kept: int, total: int) -> str:
    """Format a percentage in few characters; only an empty layer is 0 % and only a full one 100 %."""
    if kept in (0, total):
        return "100 %" if kept and kept == total else "0 %"
    percent = 100 * kept / total
    if percent < 10:
        return f"{percent:.1f} %" if percent >= 0.1 else "<0.1 %"
    return f"{min(percent, 99):.0f} %"


def _warning(figures: Figures, width: int) -> list[str]:
    """Explain why the network gives every sample the same prediction."""
    if figures.is_connected:
        return []
    numbers = [str(layer + 1) for layer in figures.emptied_layers]
    reason = "No path leads from the input to the output"
    if numbers:
        several = f"Layers {', '.join(numbers[:-1])} and {numbers[-1]} are"
        reason = f"{several if len(numbers) > 1 else f'Layer {numbers[0]} is'} empty"
    return textwrap.wrap(f"{reason}: every sample gets the same prediction.", max(width, 10))


def _cut(lines: list[str], height: int, what: str, width: int) -> list[str]:
    """The lines that fit; the last one counts those that do not."""
    if len(lines) <= height:
        return lines
    missing = len(lines) - max(height - 1, 0)
    return [*lines[: max(height - 1, 0)], fitted(f"and {missing} more {what}", width, ascii_only=True)][:height]


def _caption(classes: Sequence[str], picture: Picture, width: int, ascii_only: bool) -> str:
    """The class, and the prediction if it differs."""
    truth, answer = clean(classes[picture.truth], ascii_only), clean(classes[picture.after], ascii_only)
    if truth == answer:
        return truth
    arrow = ">" if ascii_only else "→"
    if cell_len(truth) + cell_len(answer) + 3 <= width:
        return f"{truth} {arrow} {answer}"
    room = max(1, (width - 1) // 2)
    return f"{shorten(truth, room, ascii_only)}{arrow}{shorten(answer, width - 1 - room, ascii_only)}"
