"""Sequences: MNIST-1D, files of sequences, and sequences of different length."""

from __future__ import annotations

import numpy as np
import pytest
from prunelab.estimators import PrunedCNNClassifier
from prunelab.estimators.data.datasets import DatasetError, load_dataset
from prunelab.estimators.data.preprocessing import Preprocessing
from prunelab.estimators.sequences import sequence_lengths, steps_of
from prunelab.estimators.studies.run import with_sample_shape
from sklearn.linear_model import LogisticRegression

NAN = np.nan


def padded(n: int = 40, steps: int = 6, features: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of different length, as float64, and two classes."""
    rng = np.random.default_rng(0)
    X = rng.normal([3, -20], [2, 7], size=(n, steps, features))
    lengths = rng.integers(1, steps + 1, n)
    lengths[:2] = steps, 1
    X[np.arange(steps) >= lengths[:, None]] = NAN
    return X, lengths


def test_mnist1d_is_the_data_set_that_its_authors_publish():
    data = load_dataset("mnist1d")
    X, y = np.concatenate([data.X_train, data.X_test]), np.concatenate([data.y_train, data.y_test])
    assert (data.X_train.shape, data.X_test.shape, data.X_train.dtype) == ((4000, 40), (1000, 40), np.float32)
    # computed with the authors' package mnist1d 0.0.2
    np.testing.assert_allclose(X[0, :4], [-0.33200567, -0.47191037, -0.77869708, -1.00974083], rtol=1e-6)
    np.testing.assert_allclose(X[-1, -3:], [0.65987565, 0.87773435, 1.19315184], rtol=1e-6)
    assert y[:10].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
    assert np.bincount(y).tolist() == [500] * 10
    np.testing.assert_allclose([X.mean(), X.std()], [0, 1], atol=1e-5)
    assert data.sequence_shape == (40, 1)
    np.testing.assert_array_equal(data.preprocessing.transform(data.X_test), data.X_test)


def test_a_linear_model_learns_as_little_of_mnist1d_as_its_paper_reports():
    data = load_dataset("mnist1d")
    accuracy = LogisticRegression(max_iter=300).fit(data.X_train, data.y_train).score(data.X_test, data.y_test)
    assert 0.29 < accuracy < 0.35  # 32 % in the paper


def test_mnist1d_has_no_pixels():
    with pytest.raises(DatasetError, match="pixels='unit' is for images"):
        load_dataset("mnist1d", pixels="unit")


def test_a_convolutional_network_reads_a_sequence_as_a_line():
    data = load_dataset("mnist1d")
    classifier = with_sample_shape(PrunedCNNClassifier((4,), hidden_layer_sizes=(), max_iter=1, random_state=0), data)
    classifier.fit(data.X_train[:300], data.y_train[:300])
    assert classifier.tensors_["conv1.weight"].shape == (4, 1, 5, 1)


def test_lengths_are_those_before_the_padding():
    X, lengths = padded()
    np.testing.assert_array_equal(sequence_lengths(X), lengths)
    assert len(steps_of(X)) == lengths.sum()
    assert np.isfinite(steps_of(X)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[[1, 2], [NAN, NAN], [3, 4]]], "2 missing .* within sequences"),
        ([[[1, NAN], [3, 4], [NAN, NAN]]], "1 missing"),
        ([[[1, 2], [3, 4], [NAN, 5]]], "1 missing"),
        ([[[NAN, NAN], [NAN, NAN], [NAN, NAN]]], "without any step"),
        ([[[1, 2], [np.inf, 3], [NAN, NAN]]], "infinite"),
    ],
)
def test_values_that_are_missing_elsewhere_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        sequence_lengths(np.array(values))


def test_features_of_sequences_are_standardised_over_all_steps():
    X, lengths = padded()
    transformer = Preprocessing().fit(X)
    scaled = transformer.transform(X).reshape(X.shape)
    steps = steps_of(scaled)
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(sequence_lengths(scaled), lengths)
    X[0, 1, 0] = NAN
    with pytest.raises(ValueError, match="within sequences"):
        transformer.transform(X)


def test_files_hold_sequences_also_of_different_length(tmp_path):
    X, lengths = padded()
    y = np.arange(len(X)) % 2
    path = tmp_path / "sequences.npz"
    np.savez(path, X_train=X[:30], y_train=y[:30], X_test=X[30:], y_test=y[30:])
    data = load_dataset(path)
    assert (data.sequence_shape, data.image_shape) == ((6, 2), None)
    assert any("shorter sequence" in note for note in data.assumptions)
    np.testing.assert_array_equal(sequence_lengths(data.X_train.reshape(30, 6, 2)), lengths[:30])
    mean = steps_of(X[:30]).mean(axis=0)
    np.testing.assert_allclose(data.feature_mean.reshape(6, 2), np.tile(mean, (6, 1)))


def test_a_file_with_gaps_in_its_sequences_is_refused(tmp_path):
    X, _ = padded()
    X[0, 2, 1] = NAN
    path = tmp_path / "gaps.npz"
    np.savez(path, X=X, y=np.arange(len(X)) % 2)
    with pytest.raises(DatasetError, match=r"gaps\.npz has 1 missing .* within sequences"):
        load_dataset(path)
