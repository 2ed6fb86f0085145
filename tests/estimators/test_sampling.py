"""The samples that criteria look at: every class, each counted as much as in all the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.pruning.evidence import Evidence
from prunelab.estimators.pruning.evidence.sample import MAX_SAMPLES
from prunelab.estimators.pruning.sampling import stratified_sample


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    size=st.integers(6, 80),
    seed=st.integers(0, 100),
    weighted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_class_is_there_and_counts_as_in_the_data(sizes, size, seed, weighted):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    weights = rng.uniform(0.1, 3, len(codes)) if weighted else None
    counts = np.ones(len(codes)) if weights is None else weights
    rows, shares = stratified_sample(codes, weights, size, seed)
    assert len(rows) == min(size, len(codes))
    assert (np.diff(rows) > 0).all()
    assert shares.sum() == pytest.approx(1)
    taken = np.bincount(codes[rows], minlength=len(sizes))
    for code, n in enumerate(sizes):
        assert taken[code] >= min(n, size // len(sizes))
        assert shares[codes[rows] == code].sum() == pytest.approx(counts[codes == code].sum() / counts.sum())


def test_a_rare_class_is_looked_at_as_a_whole():
    codes = np.repeat([0, 1, 2], [13_000, 13_970, 30])
    rows, shares = stratified_sample(codes, None, 4000, 0)
    assert np.bincount(codes[rows]).tolist() == [1985, 1985, 30]
    assert shares[codes[rows] == 2].sum() == pytest.approx(30 / 27_000)


def test_samples_that_count_nothing_are_not_taken():
    weights = np.array([0.0, 1.0, 0.0, 2.0, 1.0])
    rows, shares = stratified_sample(np.array([0, 0, 1, 1, 1]), weights, 10, 0)
    assert rows.tolist() == [1, 3, 4]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25])


def test_gradients_on_a_sample_are_those_of_the_weighted_sample_and_near_those_of_all_data():
    rng = np.random.default_rng(0)
    network = MLPNetwork((5, 6, 3), "relu", False)
    tensors = network.initial(0)
    codes = np.repeat([0, 1, 2], [1500, 1490, 10])
    inputs = (rng.normal(size=(3000, 5)) + codes[:, None]).astype(np.float32)

    def gradient(max_samples, seed=0):
        evidence = Evidence(network, tensors, inputs, codes, seed=seed, max_samples=max_samples)
        return evidence.gradients["output.weight"]

    everything = gradient(5000)
    drawn = np.array([gradient(300, seed) for seed in range(40)])
    error = np.abs(drawn.mean(axis=0) - everything)
    assert (error < 5 * drawn.std(axis=0) / np.sqrt(len(drawn)) + 1e-6).all()  # without bias


def test_the_size_is_that_of_the_module():
    assert MAX_SAMPLES >= 1000
