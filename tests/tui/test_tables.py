"""Tables as CSV and JSON: the same values everywhere, and nothing that a spreadsheet would execute."""

from __future__ import annotations

import csv
import io
import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.tui.tables import csv_cell, csv_text, json_text

ROWS = [
    {"seed": 0, "criterion": "magnitude", "accuracy": 0.1 + 0.2, "loss": math.nan, "compression": math.inf},
    {"seed": 1, "criterion": "a,b", "accuracy": 1.0, "loss": 2.5, "compression": -math.inf, "norm": "inf"},
]


def test_csv_is_read_back_by_pandas():
    frame = pd.read_csv(io.StringIO(csv_text(ROWS)))
    pd.testing.assert_frame_equal(frame, pd.DataFrame(ROWS).replace({"norm": {"inf": math.inf}}).astype(frame.dtypes))


def test_rows_with_other_columns_have_empty_cells():
    assert csv_text([{"a": 1}, {"b": None}]) == "a,b\n1,\n,\n"
    assert csv_text([], ["a", "b"]) == "a,b\n"


def test_json_has_null_and_names_of_infinities():
    rows = json.loads(json_text(ROWS))
    assert [row["loss"] for row in rows] == [None, 2.5]
    assert [row["compression"] for row in rows] == ["inf", "-inf"]
    assert json.loads(json_text([{"deep": [{"x": math.nan}]}])) == [{"deep": [{"x": None}]}]


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|'/c calc'!A1", "\uff1d1", "=", "-"]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_a_spreadsheet_executes_is_neutralised(text):
    """In the header, too."""
    expected = "'" + text.replace("\r", "\n")
    assert csv_cell(text) == expected
    assert list(csv.reader(io.StringIO(csv_text([{text: text}]), newline=""))) == [[expected]] * 2


@given(st.lists(st.text(), min_size=1))
def test_text_never_begins_another_row_or_column(texts):
    """Where a formula could begin."""
    rows = list(csv.reader(io.StringIO(csv_text([{"a": text, "b": 1} for text in texts]), newline="")))
    assert rows == [["a", "b"], *([str(csv_cell(text)), "1"] for text in texts)]


@pytest.mark.parametrize("value", [-1, -0.5, 1e-300, -math.inf, True, 0, 12345678901234567890, "-1", "+2.5e-3", "-inf"])
def test_numbers_are_never_changed(value):
    assert str(csv_cell(value)) == str(value)


@given(st.text(), st.floats(allow_nan=False), st.integers())
def test_any_text_is_either_safe_or_marked_and_numbers_come_back(text, real, whole):
    cell = csv_cell(text)
    assert cell.removeprefix("'") in (text.removeprefix("'"), text.replace("\r\n", "\n").replace("\r", "\n"))
    assert cell[:1] not in tuple("=@\t\r\n") or math.isfinite(float(cell)) or math.isinf(float(cell))
    if cell[:1] in ("+", "-"):
        float(cell)
    assert csv_text([{"r": real, "i": whole}]) == f"r,i\n{real},{whole}\n"
