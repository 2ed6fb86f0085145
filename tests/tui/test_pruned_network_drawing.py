"""What the explore screen and the tables show of the paths through a network."""

from __future__ import annotations

import io

import pytest
from prunelab.tui.drawing.pruned_network import draw_figures
from prunelab.tui.output import Terminal
from prunelab.tui.service.explorer import Figures, Network
from rich.cells import cell_len

WIDTHS = [[64, 100], [100, 50], [50, 10]]
NETWORK = Network([64, 100, 50, 10], WIDTHS, list("0123456789"), 360, True, "cpu", "float32", 0.9, 0.3, [0.9] * 10)


def figures(**changes) -> Figures:
    of_connected = {
        "sparsity": 0.9,
        "granularity": "weight",
        "achieved_sparsity": 0.9,
        "is_estimate": False,
        "n_samples": 360,
        "accuracy": 0.5,
        "loss": 1.0,
        "class_accuracy": [0.5] * 10,
        "layers": [[640, 6400], [500, 5000], [500, 500]],
        "units": [[60, 100], [40, 50], [10, 10]],
        "parameters": 11_900,
        "nonzero": 1640,
        "compression": 7.3,
        "speedup": 7.3,
        "effective_sparsity": 0.9123,
        "is_connected": True,
        "dead_units": [0, 0, 0],
        "disconnected_units": [0, 0, 0],
        "emptied_layers": [],
    }
    return Figures(**{**of_connected, **changes})


def drawn(width: int = 44, height: int = 16, **changes) -> str:
    text = draw_figures(NETWORK, figures(**changes), width=width, height=height, colour=False)
    assert {cell_len(line) for line in text.split("\n")} == {width}
    return text


def test_effective_sparsity_is_shown_and_units_only_where_some_do_not_count():
    assert "effective   91.23 % of the weights" in drawn()
    assert "dead" not in drawn()
    assert "unconnected" not in drawn()
    text = drawn(dead_units=[40, 3, 0], disconnected_units=[2, 0, 0])
    assert "dead units  40, 3, 0" in text
    assert "unconnected 2, 0, 0" in text


@pytest.mark.parametrize(
    ("emptied", "words"),
    [
        ([], "No path leads from the input to the output"),
        ([1], "Layer 2 is empty"),
        ([0, 1], "Layers 1 and 2 are empty"),
    ],
)
def test_what_makes_every_answer_the_same_is_named(emptied, words):
    text = " ".join(drawn(is_connected=False, emptied_layers=emptied, width=90).split())
    assert f"{words}: every sample gets the same prediction." in text
    assert "every sample" not in drawn()


ROW = {"granularity": "weight", "sparsity": 0.9, "accuracy": 0.5, "loss": 1.0, "nonzero": 5, "compression": 2.0}


@pytest.mark.parametrize(("known", "shown"), [([0.95, 0.97], True), ([None, 0.97], False), ([None, None], False)])
def test_tables_have_the_effective_sparsity_where_all_points_have_it(known, shown):
    """Points that an earlier version computed do not."""
    rows = [
        {**ROW, "seed": seed, "speedup": 2.0, **({} if value is None else {"effective_sparsity": value})}
        for seed, value in enumerate(known)
    ]
    stream = io.StringIO()
    Terminal(stream, True, 100, 40, colour=False).print_results(rows, plot=False, ascii_only=True)
    header, line = stream.getvalue().splitlines()[:2]
    assert ("effective" in header) is shown
    assert ("0.96" in line.split()) is shown
