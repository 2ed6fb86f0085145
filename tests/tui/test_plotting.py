"""Plots as text: their size, their characters, and that they show the data."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from prunelab.estimators.curves import COLOURS
from prunelab.estimators.studies.statistics import mean_interval
from prunelab.tui.drawing.bars import draw_bars
from prunelab.tui.drawing.plotting import Series, plot_accuracy_curves, plot_curves, thin

from .drawn import assert_fits

SPARSITY = [0, 0.25, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99]
WEIGHT = [97.15, 97.12, 97.00, 96.90, 96.77, 94.84, 82.43, 72.03, 64.28, 31.88]
UNIT = [97.15, 97.14, 96.98, 96.76, 94.63, 72.66, 36.67, 19.29, 13.07, 10.12]
PERCENT = [100 * s for s in SPARSITY]
BOTH = [Series("weight", PERCENT, WEIGHT), Series("unit", PERCENT, UNIT)]

MODES = [
    pytest.param({"colour": True}, id="colour"),
    pytest.param({"colour": False}, id="monochrome"),
    pytest.param({"colour": True, "ascii_only": True}, id="ascii-colour"),
    pytest.param({"colour": False, "ascii_only": True}, id="ascii"),
]
PLAIN = {"colour": False, "ascii_only": True}


def row(granularity="weight", sparsity=0.5, accuracy=0.9, seed=0, criterion="magnitude", scope="layer"):
    return {
        "granularity": granularity,
        "sparsity": sparsity,
        "accuracy": accuracy,
        "seed": seed,
        "criterion": criterion,
        "scope": scope,
    }


def author_rows():
    curves = {"weight": WEIGHT, "unit": UNIT}
    return [row(name, s, a / 100) for name, curve in curves.items() for s, a in zip(SPARSITY, curve, strict=True)]


def canvas(text):
    """Return the cells inside the axes of a plot in ASCII, the top row first."""
    lines = text.split("\n")
    bottom = max(i for i, line in enumerate(lines) if re.match(r" *\+[-+]+$", line))
    left = lines[bottom].index("+")
    top = next(i for i, line in enumerate(lines) if line[left] in "|+" and not line[:left].strip(" 0123456789.e+-"))
    return [line[left + 1 :] for line in lines[top:bottom]]


def where(text, char):
    """Return (column, row) of all cells of a canvas that hold a character, row 0 at the bottom."""
    cells = canvas(text)[::-1]
    return sorted((c, r) for r, line in enumerate(cells) for c, found in enumerate(line) if found == char)


# Curves


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (100, 28), (40, 10), (20, 5), (37, 9)])
def test_curves_have_the_size_asked_for(size, mode):
    width, height = size
    text = plot_curves(
        BOTH,
        width=width,
        height=height,
        title="Title",
        x_label="x",
        y_label="y",
        marks=[(75, "knee")],
        **mode,
    )
    assert_fits(text, width, height, **mode)


@settings(max_examples=40)
@given(width=st.integers(20, 130), height=st.integers(5, 45))
def test_any_size_of_at_least_20_by_5_is_exact(width, height):
    text = plot_accuracy_curves(author_rows(), width=width, height=height, marks=[(75, "knee"), (70, "knee")])
    assert_fits(text, width, height)


@pytest.mark.parametrize("size", [(19, 5), (20, 4), (3, 2), (1, 1)])
def test_a_place_too_small_gets_a_message(size):
    width, height = size
    text = plot_curves(BOTH, width=width, height=height)
    assert_fits(text, width, height, colour=False, ascii_only=True)
    assert text.startswith("too small to plot"[: max(1, width - 2)])


@pytest.mark.parametrize("mode", [MODES[0], MODES[-1]])
@pytest.mark.parametrize(
    "series",
    [
        pytest.param([], id="no series"),
        pytest.param([Series("empty", [], [])], id="empty"),
        pytest.param([Series("empty", [], []), BOTH[0]], id="empty and full"),
        pytest.param([Series("one", [3], [5])], id="one point"),
        pytest.param([Series("zero", [0], [0])], id="one point at 0"),
        pytest.param([Series("nan", [0, 1, 2], [np.nan] * 3)], id="all NaN"),
        pytest.param([Series("inf", [0, np.inf, 2, 3], [1, 2, np.inf, -np.inf])], id="infinite"),
        pytest.param([Series("flat", [0, 1, 2], [7.0] * 3)], id="equal y"),
        pytest.param([Series("upright", [2, 2, 2], [1, 5, 3])], id="equal x"),
        pytest.param([Series("huge", [0, 1, 2], [-1e308, 1e299, 1e308])], id="huge"),
        pytest.param([Series("tiny", [0, 1, 2], [0, 5e-324, 1e-310])], id="tiny"),
        pytest.param([Series("close", [0, 1], [1.0, 1.0 + 1e-15])], id="almost equal"),
        pytest.param([Series("millions", [0, 1e9], [1.5e7, 3e7])], id="large"),
        pytest.param([Series("long", np.arange(5000), np.sin(np.arange(5000)))], id="5000 points"),
        pytest.param([Series("", [0, 1], [0, 1])], id="no name"),
        pytest.param([Series("n" * 500, [0, 1], [0, 1])], id="long name"),
        pytest.param([Series(f"series {i}", [0, 1], [i, 2 * i]) for i in range(40)], id="40 series"),
        pytest.param([Series("bad\nname\x1b[31m\t", [0, 1], [0, 1])], id="control characters"),
        pytest.param([Series("剪枝 é", [0, 1], [0, 1])], id="wide characters"),
        pytest.param([Series("band", [0, 1, 2], [1, 2, 3], [0, np.nan, 2], [2, np.inf, 4])], id="interval"),
    ],
)
@pytest.mark.parametrize("log_y", [False, True])
def test_unusual_data_is_drawn_without_a_warning(series, mode, log_y):
    for width, height in [(60, 15), (20, 5)]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            text = plot_curves(series, width=width, height=height, log_y=log_y, title="a\nb\x1b[1m", **mode)
        assert_fits(text, width, height, **mode)


def test_nothing_to_draw_is_said():
    assert "no data" in plot_curves([], width=40, height=10, colour=False)
    text = plot_curves([Series("empty", [], []), Series("full", [1], [1])], width=60, height=10, colour=False)
    assert "empty (no data)" in text
    assert text.count("no data") == 1


@pytest.mark.parametrize("mode", MODES)
def test_the_same_call_gives_the_same_text(mode):
    def draw(**more):
        return plot_curves(BOTH, width=90, height=25, marks=[(75, "knee")], **mode, **more)

    first, first_log = draw(), draw(log_y=True)
    assert draw() == first
    assert draw(log_y=True) == first_log


def test_plotext_s_own_figure_is_neither_used_nor_changed():
    import plotext

    expected = plot_curves(BOTH, width=90, height=25)
    plotext.clear_figure()
    plotext.plot([1, 2, 3], [5, 6, 4])
    plotext.title("not ours")
    try:
        before = plotext.build()
        assert plot_curves(BOTH, width=90, height=25) == expected
        assert plotext.build() == before
    finally:
        plotext.clear_figure()


def test_the_terminal_s_size_does_not_matter(monkeypatch):
    expected = plot_curves(BOTH, width=90, height=25)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "7")
    assert plot_curves(BOTH, width=90, height=25) == expected


def test_points_that_cannot_be_drawn_make_no_difference():
    nan, inf = float("nan"), float("inf")
    clean = Series("s", [0, 1, 2, 3], [4, 1, 3, 2])
    dirty = Series("s", [0, 5, 1, nan, 2, inf, 3, 2.5], [4, nan, 1, 9, 3, 9, 2, -inf])
    assert plot_curves([dirty], width=60, height=15) == plot_curves([clean], width=60, height=15)


def test_points_at_or_below_zero_are_dropped_from_a_log_axis():
    clean = Series("s", [0, 1, 3], [4, 100, 0.3])
    dirty = Series("s", [0, 1, 1.5, 2, 3], [4, 100, 0, -5, 0.3])
    options = {"width": 60, "height": 15, "log_y": True}
    assert plot_curves([dirty], **options) == plot_curves([clean], **options)


def test_the_order_of_the_points_makes_no_difference():
    order = [3, 7, 0, 1, 9, 8, 2, 6, 4, 5]
    low, high = np.array(UNIT) - 5, np.array(UNIT) + 5
    x, y = np.array(PERCENT), np.array(UNIT)
    shuffled = Series("unit", x[order], y[order], low[order], high[order])
    options = {"width": 60, "height": 15}
    assert plot_curves([shuffled], **options) == plot_curves([Series("unit", x, y, low, high)], **options)


def test_a_rising_line_rises():
    text = plot_curves([Series("s", [0, 100], [0, 100])], width=60, height=20, **PLAIN)
    cells = where(text, "*")
    rows = [r for _, r in cells]
    assert rows == sorted(rows)
    n_columns, n_rows = len(canvas(text)[0]), len(canvas(text))
    assert cells[0] == (0, 0)
    assert cells[-1] == (n_columns - 1, n_rows - 1)
    assert {c for c, _ in cells} == set(range(n_columns))


def test_equal_ratios_are_equally_far_apart_on_a_log_axis():
    dots = [Series(name, [x], [y]) for name, x, y in [("a", 0, 1), ("b", 1, 10), ("c", 2, 100)]]
    text = plot_curves(dots, width=60, height=26, log_y=True, **PLAIN)
    (_, first), (_, second), (_, third) = (where(text, char)[0] for char in "*o+")
    assert abs((third - second) - (second - first)) <= 1
    assert {"1", "10", "100"} <= set(re.findall(r"^ *(\d+)\+", text, re.MULTILINE))


def test_lines_are_cut_off_at_the_edges_where_they_cross_them():
    steep = Series("", [0, 10], [-1000, 1000])
    text = plot_curves([steep], width=60, height=20, y_limits=(-100, 100), x_limits=(0, 10), **PLAIN)
    cells = where(text, "*")
    middle = (len(canvas(text)[0]) - 1) / 2
    assert max(abs(c - middle) for c, _ in cells) <= 0.06 * 2 * middle
    assert {r for _, r in cells} == set(range(len(canvas(text))))


def test_lines_far_beyond_the_edges_are_drawn_at_once():
    wild = Series("", [-1e200, 0, 0.7, 1, 2, 1e250], [1, 1e200, -3e200, 7e199, 0.5, 0.5])
    text = plot_curves([wild], width=60, height=20, x_limits=(0, 4), y_limits=(0, 1), **PLAIN)
    assert len({c for c, r in where(text, "*")}) >= 25


@pytest.mark.parametrize("ratio", [2, 3, 6, 7, 1e9])
def test_huge_steps_are_drawn_where_they_cross_the_plot(ratio):
    step = Series("", [0, 10], [1e200, -ratio * 1e200])
    text = plot_curves([step], width=60, height=20, x_limits=(0, 10), y_limits=(1, 2), **PLAIN)
    (column,) = {c for c, _ in where(text, "*")}
    assert column == pytest.approx(len(canvas(text)[0]) / (1 + ratio), abs=1)


def test_zooming_in_shows_the_line_that_leads_out():
    text = plot_curves(
        [Series("", [0, 100], [0, 100])], width=60, height=20, x_limits=(40, 60), y_limits=(40, 60), **PLAIN
    )
    assert {c for c, _ in where(text, "*")} == set(range(len(canvas(text)[0])))


@pytest.mark.parametrize("ascii_only", [False, True])
def test_each_curve_has_its_own_symbol_in_legend_and_plot(ascii_only):
    names = [f"name{i}" for i in range(8)]
    series = [Series(name, [0, 50, 100], [i, i + 30, i]) for i, name in enumerate(names)]
    text = plot_curves(series, width=120, height=50, colour=False, ascii_only=ascii_only)
    lines = text.split("\n")
    legend = " ".join(line for line in lines if "name" in line)
    symbols = [legend.split(f" {name}")[0][-2] for name in names]
    assert len(set(symbols)) == len(names)
    body = "\n".join(line for line in lines if "name" not in line)
    assert all(symbol in body for symbol in symbols)


def test_the_legend_stands_above_the_plot_and_covers_nothing():
    lines = plot_curves(BOTH, width=80, height=24, y_label="y", colour=False).split("\n")
    (legend,) = [i for i, line in enumerate(lines) if "weight" in line or "unit" in line]
    assert legend < next(i for i, line in enumerate(lines) if "┤" in line)


def test_a_short_legend_shares_the_last_line_above_the_plot():
    lines = plot_curves(BOTH, width=80, height=24, title="T", y_label="accuracy", colour=False).split("\n")
    assert lines[0].strip() == "T"
    assert lines[1].startswith("accuracy ")
    assert lines[1].endswith(" unit")
    narrow = plot_curves(BOTH, width=30, height=24, y_label="a label as wide as this", colour=False).split("\n")
    assert "weight" not in narrow[0]
    assert "weight" in narrow[1]


def test_names_that_do_not_fit_are_counted():
    series = [Series(f"series number {i}", [0, 1], [0, i]) for i in range(30)]
    text = plot_curves(series, width=60, height=20, colour=False)
    shown = len(re.findall(r"series number \d+", text))
    assert 0 < shown < 30
    assert f"+{30 - shown} more" in text


@pytest.mark.parametrize(("ascii_only", "symbols"), [(False, "●○"), (True, "*o")])
def test_curves_that_coincide_take_turns(ascii_only, symbols):
    x = [0, 20, 40, 60, 80, 100]
    series = [Series("a", x, x), Series("b", x, x)]
    text = plot_curves(series, width=80, height=20, colour=False, ascii_only=ascii_only)
    body = "\n".join(text.split("\n")[1:])
    assert all(body.count(symbol) >= 3 for symbol in symbols)


@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_point_s_symbol_lies_on_its_line(ascii_only):
    for level in np.linspace(0, 1, 41):
        flat = Series("", [0, 0.3, 0.6, 1], [level] * 4)
        text = plot_curves([flat], width=50, height=15, y_limits=(0, 1), colour=False, ascii_only=ascii_only)
        drawn = [line for line in text.split("\n")[:-2] if re.search(r"[^-\s\d.│┤|+]", line)]
        assert len(drawn) == 1


def test_one_dense_curve_is_a_line_without_symbols():
    text = plot_curves([Series("loss", np.arange(1000), np.arange(1000))], width=80, height=20, colour=False)
    assert "●" not in text


def test_intervals_are_dotted_lines_around_the_curve():
    x = [0, 50, 100]
    series = Series("s", x, [50, 50, 50], [30, 30, 30], [70, 70, 70])
    text = plot_curves([series], width=60, height=23, y_limits=(0, 100), **PLAIN)
    (line_row,) = {r for _, r in where(text, "*")}
    low_row, high_row = sorted({r for _, r in where(text, ".")})
    assert low_row < line_row < high_row
    assert abs((high_row - line_row) - (line_row - low_row)) <= 1
    assert not where(plot_curves([Series("s", x, [50] * 3)], width=60, height=23, **PLAIN), ".")


def test_an_interval_reaches_as_far_as_it_is_known():
    nan = float("nan")
    series = Series("s", [0, 50, 100], [5, 5, 5], [nan, 1, 1], [nan, nan, nan])
    text = plot_curves([series], width=60, height=23, y_limits=(0, 10), **PLAIN)
    columns = {c for c, _ in where(text, ".")}
    middle = len(canvas(text)[0]) / 2
    assert min(columns) == pytest.approx(middle, abs=2)
    assert max(columns) == len(canvas(text)[0]) - 1


def test_a_mark_is_a_vertical_line_under_its_label():
    text = plot_curves(BOTH, width=80, height=24, marks=[(75, "KNEE")], x_limits=(0, 100), **PLAIN)
    cells = where(text, ":")
    (column,) = {c for c, _ in cells}
    assert column == pytest.approx(0.75 * len(canvas(text)[0]), abs=1)
    (line,) = [line for line in text.split("\n") if "KNEE" in line]
    left = len(line) - len(canvas(text)[0])
    assert line.index("KNEE") + 2 == pytest.approx(left + column, abs=1)


def test_marks_side_by_side_are_all_labelled():
    marks = [(70, "knee of units"), (75, "knee of weights"), (99, "chance")]
    text = plot_curves(BOTH, width=80, height=24, marks=marks, x_limits=(0, 100), **PLAIN)
    assert all(label in text for _, label in marks)
    assert len({c for c, _ in where(text, ":")}) == 3


def test_marks_beside_the_plot_are_left_out():
    text = plot_curves(BOTH, width=80, height=24, marks=[(101, "A"), (float("nan"), "B")], x_limits=(0, 100), **PLAIN)
    assert text == plot_curves(BOTH, width=80, height=24, x_limits=(0, 100), **PLAIN)


@pytest.mark.parametrize(
    "bad",
    [
        {"y_limits": (1, 1)},
        {"y_limits": (2, 1)},
        {"x_limits": (0, float("inf"))},
        {"x_limits": (float("nan"), 1)},
        {"y_limits": (0, 1), "log_y": True},
    ],
)
def test_impossible_limits_are_refused(bad):
    with pytest.raises(ValueError, match="limits must be"):
        plot_curves(BOTH, width=80, height=24, **bad)


def test_parts_of_a_series_must_be_equally_long():
    with pytest.raises(ValueError, match="equally long"):
        plot_curves([Series("s", [1, 2], [1])], width=80, height=24)


@pytest.mark.parametrize("span", [(0, 1), (0, 100), (-3, 4), (10.12, 97.15), (94.6, 97.2), (1e-5, 3e-5), (0, 7e6)])
@pytest.mark.parametrize("log_y", [False, True])
def test_ticks_are_round_and_say_where_they_are(span, log_y):
    if log_y and span[0] <= 0:
        span = (span[1] / 1000, span[1])
    text = plot_curves([Series("", [0, 1], span)], width=80, height=25, log_y=log_y, colour=False)
    ticks = [float(number) for number in re.findall(r"^ *([-+.e\d]+)┤", text, re.MULTILINE)]
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(ticks, reverse=True)
    digits = [f"{tick:.6e}".split("e")[0].strip("-").replace(".", "").rstrip("0") for tick in ticks]
    assert max(map(len, digits)) <= 3
    if not log_y:
        np.testing.assert_allclose(np.diff(ticks, 2), 0, atol=1e-6 * max(map(abs, ticks)))


@pytest.mark.parametrize("span", [(-2.1, 7.9), (0.9, 11.1), (1, 5.01), (-0.3, 1.7)])
def test_the_y_axis_ends_at_ticks(span):
    text = plot_curves([Series("", [0, 1], span)], width=80, height=25, colour=False)
    ends = [line for line in text.split("\n") if "┤" in line or "│" in line]
    assert "┤" in ends[0]
    assert "┤" in ends[-1]


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("limits", [(0.3, 0.4), (0.11, 0.19), (1e-9, 1e9), (7, 7.1), (1, 1e299)])
def test_any_limits_have_ticks(limits, log_y):
    for width, height in [(20, 5), (80, 24), (80, 50)]:
        text = plot_curves(BOTH, width=width, height=height, y_limits=limits, log_y=log_y, colour=False)
        assert_fits(text, width, height, colour=False)
        assert text.count("┤") >= 1
        assert height == 5 or text.count("┤") <= 12


@pytest.mark.parametrize("number", COLOURS)
def test_the_colours_can_be_read_on_black_and_on_white(number):
    from plotext._dict import type1_to_type2_codes

    channels = np.array(type1_to_type2_codes[number]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / 0.05 >= 3


# Thinning


finite = st.floats(-1e300, 1e300)


@st.composite
def curves(draw):
    n = draw(st.integers(0, 300))
    return draw(arrays(np.float64, n, elements=finite)), draw(arrays(np.float64, n, elements=finite))


@given(curve=curves(), limit=st.integers(4, 60))
def test_thinning_keeps_the_ends_the_extremes_and_the_order(curve, limit):
    x, y = curve
    thin_x, thin_y = thin(x, y, limit)
    assert len(thin_x) == len(thin_y) <= limit
    if len(x) <= limit:
        assert np.array_equal(thin_x, x)
        assert np.array_equal(thin_y, y)
        return
    assert (thin_x[0], thin_y[0]) == (x[0], y[0])
    assert (thin_x[-1], thin_y[-1]) == (x[-1], y[-1])
    assert thin_y.min() == y.min()
    assert thin_y.max() == y.max()
    remaining = iter(zip(x, y, strict=True))
    assert all(point in remaining for point in zip(thin_x, thin_y, strict=True))  # A subsequence.


def test_thinning_keeps_the_extremes_of_each_part():
    x = np.arange(10_000)
    y = np.zeros(10_000)
    y[1234::1000], y[1334::1000] = 1, -1
    _, thin_y = thin(x, y, 100)
    assert (thin_y == 1).sum() == (y == 1).sum()
    assert (thin_y == -1).sum() == (y == -1).sum()


def test_thinning_to_less_than_four_points_is_refused():
    with pytest.raises(ValueError, match="at least 4"):
        thin([1, 2], [1, 2], 3)


def test_a_spike_among_thousands_of_points_is_seen():
    y = np.zeros(20_000)
    y[7321] = 1
    text = plot_curves([Series("", np.arange(20_000), y)], width=60, height=20, **PLAIN)
    top = len(canvas(text)) - 1
    assert [c for c, r in where(text, "*") if r == top] == [
        pytest.approx(7321 / 20_000 * len(canvas(text)[0]), abs=1.5)
    ]


# Accuracy


def test_accuracy_axes_are_labelled_at_quarters():
    text = plot_accuracy_curves(author_rows(), width=80, height=24, colour=False)
    assert re.search(r"^ +0 +25 +50 +75 +100 *$", text, re.MULTILINE)
    assert re.findall(r"^ *(\d+)┤", text, re.MULTILINE) == ["100", "75", "50", "25", "0"]
    assert "sparsity (% removed)" in text
    assert "Accuracy after pruning" in text
    assert re.search(r"● *⠒* weight +⠒*○⠒* unit", text)


def test_accuracy_curves_are_named_by_what_varies():
    def legend(rows):
        text = plot_accuracy_curves(rows, width=120, height=30, **PLAIN)
        return re.findall(r"(?:\*\*\*|ooo|\+\+\+|xxx) ([a-z]+(?:, [a-z]+)*)", text)

    assert legend([row()]) == ["weight"]
    assert legend([row("unit"), row("weight")]) == ["unit", "weight"]
    assert legend([row(criterion="random"), row()]) == ["random", "magnitude"]
    assert legend([row(), row("unit", scope="global")]) == ["weight, layer", "unit, global"]
    assert legend([{"sparsity": 0.5, "accuracy": 0.5, "granularity": "unit"}]) == ["unit"]


def test_accuracies_are_averaged_over_seeds_with_an_interval():
    accuracies = [0.2, 0.5, 0.8]
    rows = [row(sparsity=s, accuracy=a, seed=i) for s in (0, 1) for i, a in enumerate(accuracies)]
    options = {"width": 70, "height": 30, "x_limits": (0, 100), "y_limits": (0, 100), "title": "T", **PLAIN}
    text = plot_accuracy_curves(rows, **options)
    mean, low, high = mean_interval([20, 50, 80])
    assert mean == pytest.approx(50)
    series = Series("weight", [0, 100], [mean] * 2, [max(low, 0)] * 2, [min(high, 100)] * 2)
    y_label = "accuracy (%), mean of 3 seeds, 95 % interval"
    assert text == plot_curves([series], x_label="sparsity (% removed)", y_label=y_label, **options)
    assert where(text, ".")


def test_each_seed_counts_once():
    rows = [row(accuracy=0.2, seed=0)] * 9 + [row(accuracy=0.8, seed=1)]
    once = [row(accuracy=0.2, seed=0), row(accuracy=0.8, seed=1)]
    options = {"width": 70, "height": 20}
    assert plot_accuracy_curves(rows, **options) == plot_accuracy_curves(once, **options)


def test_one_seed_has_no_interval():
    text = plot_accuracy_curves(author_rows(), width=80, height=24, **PLAIN)
    assert "seed" not in text
    assert not where(text, ".")


@pytest.mark.parametrize(
    ("accuracies", "low", "high"),
    [
        ([0.1, 0.97], 0, 100),
        ([0.946, 0.9715], 94, 98),
        ([0.99, 1.0], 99, 100),
        ([0.5], 49, 51),
        ([1.0], 99, 100),
    ],
)
def test_the_accuracy_axis_follows_the_data(accuracies, low, high):
    rows = [row(sparsity=i / 10, accuracy=a) for i, a in enumerate(accuracies)]
    text = plot_accuracy_curves(rows, width=80, height=24, colour=False)
    ticks = [float(number) for number in re.findall(r"^ *([.\d]+)┤", text, re.MULTILINE)]
    assert low <= min(ticks) <= 100 * min(accuracies)
    assert 100 * max(accuracies) <= max(ticks) <= high


def test_accuracy_of_nothing():
    for rows in ([], [row(accuracy=float("nan"))]):
        text = plot_accuracy_curves(rows, width=80, height=24, colour=False)
        assert_fits(text, 80, 24, colour=False)
        assert "no data" in text


# Bars

LAYERS = [
    ("layer 1", 0.5, "392,000 of 784,000"),
    ("layer 2", 0.001, "1,000"),
    ("out", 1, "2,000"),
    ("empty", 0, ""),
    ("almost", 0.9999, "1"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [80, 31, 12, 3, 1])
def test_bars_are_as_wide_as_asked(width, mode):
    assert_fits(draw_bars(LAYERS, width=width, **mode), width, len(LAYERS), **mode)


def test_bars_start_and_end_in_the_same_columns():
    lines = draw_bars(LAYERS, width=80, **PLAIN).split("\n")
    bars = [re.search(r"[#.]{5,}", line) for line in lines]
    assert len({(bar.start(), bar.end()) for bar in bars if bar}) == 1
    half, least, full, none, almost = (bar.group() for bar in bars if bar)
    assert half.count("#") == pytest.approx(len(half) / 2, abs=1)
    assert least.count("#") == 1
    assert set(full) == {"#"}
    assert set(none) == {"."}
    assert almost.count(".") == 1
    assert lines[1].startswith("layer 2 ")
    assert lines[1].endswith(" 1,000")


def test_only_nothing_looks_empty_and_only_everything_looks_full():
    assert "╸" in draw_bars([("a", 1e-9, "")], width=40, colour=False)
    assert "╸" in draw_bars([("a", 1 - 1e-9, "")], width=40, colour=False)
    assert "━" not in draw_bars([("a", 0.0, "")], width=40, colour=False)


@pytest.mark.parametrize(("fraction", "same"), [(-1, 0), (2, 1), (float("nan"), 0)])
def test_fractions_outside_0_to_1_are_held_there(fraction, same):
    assert draw_bars([("a", fraction, "")], width=40) == draw_bars([("a", same, "")], width=40)


def test_no_bars():
    assert draw_bars([], width=40) == ""


# Imports


def test_importing_needs_neither_plotext_nor_anything_heavy():
    heavy = ["plotext", "torch", "sklearn", "textual", "pandas", "scipy", "matplotlib"]
    imports = "import sys, prunelab.tui.drawing.plotting, prunelab.tui.drawing.bars, prunelab.tui.drawing.images"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
