"""Names, colours and markers of curves: one rule wherever they are drawn."""

from __future__ import annotations

import matplotlib.colors
from matplotlib.lines import Line2D
from prunelab.estimators.curves import SYMBOLS, curve_names, style_of, varying
from rich.color import Color

WAYS = [
    {"criterion": "magnitude", "granularity": "unit", "norm": 1},
    {"criterion": "magnitude", "granularity": "unit", "norm": "inf"},
    {"criterion": "taylor", "granularity": "unit", "norm": 1},
]


def test_names_leave_out_what_all_curves_share():
    assert varying(WAYS) == ["criterion", "norm"]
    assert curve_names(WAYS) == ["magnitude, L1", "magnitude, L-inf", "taylor, L1"]
    assert curve_names(WAYS[:2]) == ["L1", "L-inf"]


def test_curves_that_share_everything_are_named_by_their_granularity():
    assert curve_names(WAYS[:1]) == ["unit"]
    assert curve_names([{"method": "tickets"}] * 2, ("method",)) == ["tickets", "tickets"]


def test_a_missing_value_distinguishes_a_curve_and_is_not_written():
    assert curve_names([{"scope": "layer", "norm": 2}, {"scope": "global"}]) == ["layer, L2", "global"]


def test_colours_and_markers_are_those_of_the_terminal_in_matplotlib_too():
    for place in range(len(SYMBOLS)):
        style = style_of(place)
        triplet = Color.from_ansi(style.colour).get_truecolor()
        assert matplotlib.colors.to_rgb(style.hex_colour) == tuple(part / 255 for part in triplet)
        Line2D([], [], **style.marker)  # matplotlib knows the marker


def test_no_two_of_many_curves_have_the_same_symbol():
    styles = [style_of(place) for place in range(32)]
    for looks in (
        [s.symbol for s in styles],
        [(s.ascii_symbol, s.colour) for s in styles],
        [str(s.marker) for s in styles],
    ):
        assert len(set(looks)) == len(looks)
