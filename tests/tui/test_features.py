"""Columns of data as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.tui.drawing.features import COLUMN, draw_features, number
from rich.cells import cell_len

NAMES = ["length", "a name that is rather long", "größe"]
FIGURES = [(1.5, 0.0, 3.0), (1e9, -1e-9, float("inf")), (0.1, 0.1, 0.1)]
SAMPLES = [[1.0, 2.0, 3.0], [1e8, 1e-8, 0.0], [0.1, 0.1, 0.1]]


@pytest.mark.parametrize("width", [1, 20, 44, 80, 150])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_line_for_each_feature_as_wide_as_asked(width: int, ascii_only: bool) -> None:
    labels = ["setosa", "virginica-hybrid", "日本"]
    text = draw_features(NAMES, FIGURES, SAMPLES, labels, width=width, colour=False, ascii_only=ascii_only)
    lines = text.splitlines()
    assert len(lines) == 4
    assert {cell_len(line) for line in lines} == {width}
    assert text.isascii() or not ascii_only


def test_samples_are_shown_where_there_is_room() -> None:
    labels = ["a", "b", "c"]
    assert draw_features(NAMES, FIGURES, SAMPLES, labels, width=44, colour=False).split()[:5] == [
        "feature",
        "mean",
        "least",
        "largest",
        "length",
    ]
    wide = draw_features(NAMES, FIGURES, SAMPLES, labels, width=120, colour=False).splitlines()
    assert wide[0].split()[-3:] == labels
    assert wide[1].split() == ["length", "1.5", "0", "3", "1", "2", "3"]


@given(st.floats())
def test_numbers_fit_into_their_column(value: float) -> None:
    assert len(number(value)) <= COLUMN
    if abs(value) < 1e300:
        assert float(number(value)) == pytest.approx(value, rel=6e-3)
