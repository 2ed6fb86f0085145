"""The original experiment, on the real MNIST."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from prunelab.estimators import ORIGINAL_SPARSITIES, PrunedMLPClassifier, load_dataset, sweep
from prunelab.estimators.path import to_frame
from prunelab.estimators.presets import PRESETS

pytestmark = pytest.mark.slow

SIZES = (784, 1000, 1000, 500, 200, 10)


@pytest.fixture(scope="module")
def frame(data_root) -> pd.DataFrame:
    preset = PRESETS["original"]
    data = load_dataset(preset.dataset, root=data_root)
    points = sweep(PrunedMLPClassifier(**preset.parameters), data, sparsities=preset.sparsities)
    return to_frame([point.row for point in points])


@pytest.fixture
def accuracy(frame):
    """The accuracy of a granularity at a sparsity, in percent."""
    by_place = frame.set_index(["granularity", "sparsity"])["accuracy"]
    return lambda granularity, sparsity: 100 * by_place[granularity, sparsity]


def test_the_table_is_complete(frame):
    assert list(frame["granularity"]) == ["weight"] * 10 + ["unit"] * 10
    assert list(frame["sparsity"]) == [*ORIGINAL_SPARSITIES] * 2


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_the_dense_network_is_good(accuracy, granularity):
    assert accuracy(granularity, 0.0) >= 96.5


@pytest.mark.parametrize("sparsity", [0.25, 0.5])
def test_half_of_the_weights_do_not_matter(accuracy, sparsity):
    assert accuracy("weight", sparsity) == pytest.approx(accuracy("weight", 0.0), abs=0.6)


@pytest.mark.parametrize("sparsity", [0.8, 0.9, 0.95])
def test_units_hurt_more_than_weights(accuracy, sparsity):
    assert accuracy("unit", sparsity) < accuracy("weight", sparsity)


def test_both_collapse(accuracy):
    assert accuracy("weight", 0.99) < 60
    assert accuracy("unit", 0.99) < 30
    assert accuracy("weight", 0.9) > accuracy("weight", 0.99) + 10


def test_counts_are_exact(frame):
    for row in frame.itertuples():
        widths = [784, *SIZES[1:-1], 10]
        if row.granularity == "unit":
            widths[1:-1] = [width - round(row.sparsity * width) for width in SIZES[1:-1]]
        weights = [n_in * n_out for n_in, n_out in pairwise(widths)]
        if row.granularity == "weight":
            weights[:-1] = [size - round(row.sparsity * size) for size in weights[:-1]]
        assert row.nonzero == row.macs == sum(weights)
        dense = sum(n_in * n_out for n_in, n_out in pairwise(SIZES))
        assert row.compression == row.speedup == pytest.approx(dense / sum(weights))
        assert row.achieved_sparsity == pytest.approx(row.sparsity, abs=1e-6)
