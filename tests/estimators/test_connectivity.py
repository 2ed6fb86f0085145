"""Paths from the input to the output, held against counts of paths and a graph search."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators import PruningWarning, sparsity_path
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.path import iter_sparsity_path
from prunelab.estimators.pruning.connectivity import Connectivity, connectivity
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from .small_networks import CNNS, random_tensors

QUICK = settings(max_examples=200, deadline=None)


@st.composite
def sparse_networks(draw):
    """Weights of one to five layers, from full to empty."""
    sizes = draw(st.lists(st.integers(1, 7), min_size=2, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coefs = [rng.normal(size=shape).astype(np.float32) for shape in pairwise(sizes)]
    return [coef * (rng.random(coef.shape) < draw(st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))) for coef in coefs]


def connectivity_of(coefs) -> Connectivity:
    sizes = (len(coefs[0]), *(coef.shape[1] for coef in coefs))
    return connectivity(MLPNetwork(sizes), name_tensors(coefs))


def paths_through(coefs) -> list[np.ndarray]:
    """How many paths from the input to the output go through each weight; Python's integers do not overflow."""
    present = [(coef != 0).astype(int).astype(object) for coef in coefs]
    before = [np.ones(len(coefs[0]), dtype=object)]
    for layer in present:
        before.append(before[-1] @ layer)
    after = [np.ones(coefs[-1].shape[1], dtype=object)]
    for layer in reversed(present):
        after.append(layer @ after[-1])
    after = after[::-1]
    return [
        rows[:, None] * layer * columns for rows, layer, columns in zip(before[:-1], present, after[1:], strict=True)
    ]


def units_found_by_search(coefs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For every layer of units, which of them a search from the inputs finds, and one backwards from the outputs."""
    sizes = [len(coefs[0]), *(coef.shape[1] for coef in coefs)]
    starts = np.cumsum([0, *sizes])
    n = int(starts[-1])
    graph = np.zeros((n + 2, n + 2))
    for coef, first, second in zip(coefs, starts, starts[1:], strict=False):
        graph[first : first + len(coef), second : second + coef.shape[1]] = coef != 0
    graph[n, : sizes[0]] = 1
    graph[starts[-2] : n, n + 1] = 1
    found = []
    for matrix, source in ((graph, n), (graph.T, n + 1)):
        order = breadth_first_order(csr_array(matrix), source, return_predecessors=False)
        reached = np.isin(np.arange(n), order)
        found.append([reached[a:b] for a, b in pairwise(starts)][1:])
    return found[0], found[1]


@given(coefs=sparse_networks())
@QUICK
def test_effective_weights_are_those_that_a_path_goes_through(coefs):
    found, paths = connectivity_of(coefs), paths_through(coefs)
    on_path = [np.count_nonzero(layer) for layer in paths]
    assert found.effective == on_path
    assert found.nonzero == [np.count_nonzero(coef) for coef in coefs]
    assert found.is_connected == (sum(paths[-1].ravel()) > 0)
    assert found.emptied_layers == [i for i, coef in enumerate(coefs) if not coef.any()]
    for n_prunable in range(len(coefs) + 1):
        prunable = found.names[:n_prunable]
        if n_prunable == 0:
            assert found.effective_sparsity(prunable) == 0
            continue
        weights = sum(coef.size for coef in coefs[:n_prunable])
        expected = 1 - sum(on_path[:n_prunable]) / weights
        assert found.effective_sparsity(prunable) == pytest.approx(expected, abs=1e-12)
        zeros = sum(int((coef == 0).sum()) for coef in coefs[:n_prunable])
        assert found.effective_sparsity(prunable) >= zeros / weights


@given(coefs=sparse_networks())
@QUICK
def test_dead_and_disconnected_units_are_those_that_a_search_misses(coefs):
    found, (reached, leading) = connectivity_of(coefs), units_found_by_search(coefs)
    assert found.dead_units == [int((~units).sum()) for units in reached]
    assert found.disconnected_units == [int((a & ~b).sum()) for a, b in zip(reached, leading, strict=True)]


@pytest.mark.parametrize("sizes", [(3, 2), (4, 6, 5, 2)], ids=str)
def test_everything_counts_in_a_dense_network(sizes):
    coefs = [np.ones(shape) for shape in pairwise(sizes)]
    found = connectivity_of(coefs)
    assert found.effective == found.nonzero == found.sizes
    assert found.effective_sparsity(found.names) == 0
    assert (sum(found.dead_units), sum(found.disconnected_units)) == (0, 0)


def test_a_network_without_an_empty_layer_can_be_disconnected():
    """The first layer leads to the first unit only, and the second layer leads away from the second only."""
    found = connectivity_of([np.array([[1.0, 0.0]]), np.array([[0.0], [1.0]])])
    assert found.emptied_layers == []
    assert not found.is_connected
    assert (found.dead_units, found.disconnected_units) == ([1, 1], [1, 0])
    assert found.effective_sparsity(found.names) == 1


@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("network", CNNS.values(), ids=CNNS)
def test_channels_are_connected_by_any_entry_between_them(network, density):
    for seed in range(10):
        rng, tensors = np.random.default_rng(seed), random_tensors(network, seed)
        counts = []  # for each layer, how many weights lead from each unit of the one before to each of its own
        for record in network.weights:
            weight = tensors[record.name]
            weight *= rng.random(record.shape) < density
            if len(record.shape) == 4:
                counts.append(np.count_nonzero(weight, axis=(2, 3)).T)
            else:
                units = counts[-1].shape[1] if counts else len(weight)
                counts.append(np.count_nonzero(weight.reshape(units, -1, weight.shape[1]), axis=1))
        found = connectivity(network, tensors)
        paths, (reached, leading) = paths_through(counts), units_found_by_search(counts)
        assert found.effective == [int(count[on > 0].sum()) for count, on in zip(counts, paths, strict=True)]
        assert found.nonzero == [int(count.sum()) for count in counts]
        assert found.sizes == [record.size for record in network.weights]
        assert found.is_connected == (sum(paths[-1].ravel()) > 0)
        assert found.dead_units == [int((~units).sum()) for units in reached]
        assert found.disconnected_units == [int((a & ~b).sum()) for a, b in zip(reached, leading, strict=True)]


# -- in classifiers, paths and pruning by hand -----------------------------------------------------------


def crossed(make, blobs):
    """A fitted classifier of two hidden units, of which the second has no input and the first no output."""
    classifier = make(hidden_layer_sizes=(2,), warm_start=True, prune_output=True, fit_intercept=True).fit(*blobs)
    masks = name_tensors([np.array([[True, False]] * 4), np.array([[False] * 3, [True] * 3])])
    classifier.masks_ = {**classifier.masks_, **masks}
    classifier.tensors_ = {name: array * classifier.masks_[name] for name, array in classifier.tensors_.items()}
    return classifier.set_params(max_iter=1)


def test_a_layer_that_is_cut_off_but_not_emptied_is_warned_of(blobs, make):
    classifier = crossed(make, blobs)
    with pytest.warns(PruningWarning, match="left no path from the input to the output"):
        classifier.fit(*blobs)
    assert classifier.effective_sparsity_ == 1
    assert classifier.dead_units_ == [1, 3]
    assert classifier.disconnected_units_ == [1, 0]
    assert (classifier.predict_proba(blobs[0]) == classifier.predict_proba(blobs[0])[0]).all()


@pytest.mark.parametrize(
    "way",
    [{"criterion": "snip", "schedule": "before-training"}, {"criterion": "taylor"}, {"criterion": "magnitude"}],
    ids=str,
)
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_global_pruning_warns_exactly_where_no_path_is_left(digits, make, way, granularity):
    """Whatever the criterion, and also where no single layer is empty."""
    sparsities = [0.0, 0.5, 0.9, 0.97, 0.98, 0.99, 0.995, 1.0]
    classifier = make(scope="global", granularity=granularity, max_iter=1, **way)
    X, y = digits.X_train[:300], digits.y_train[:300]
    connected = []
    for sparsity in sparsities:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PruningWarning)
            (point,) = iter_sparsity_path(classifier, X, y, sparsities=[sparsity])
        paths = paths_through([array for name, array in point.model.tensors.items() if name.endswith("weight")])
        connected.append(any(paths[-1].ravel()))
        assert connected[-1] == (not any(issubclass(w.category, PruningWarning) for w in caught))
        effective = sum(np.count_nonzero(layer) for layer in paths[:-1])
        total = sum(layer.size for layer in paths[:-1])
        assert point.row["effective_sparsity"] == pytest.approx(1 - effective / total)
    assert connected[0]
    assert not connected[-1]


@pytest.mark.parametrize("prune_output", [False, True, "half"])
def test_fit_path_and_pruning_by_hand_tell_the_same(digits, make, tmp_path, prune_output):
    X, y = digits.X_train[:300], digits.y_train[:300]
    sparsities = [0.0, 0.8, 0.97]
    parameters = {"scope": "global", "prune_output": prune_output, "fit_intercept": True}
    path = sparsity_path(make(**parameters), X, y, sparsities=sparsities)
    interactive = InteractivePruning(make(**parameters).fit(X, y), X, y, X, y)
    for i, sparsity in enumerate(sparsities):
        fitted = make(**parameters, sparsity=sparsity).fit(X, y)
        fitted.save(tmp_path / "model")
        cut, row = interactive.prune(sparsity), path.frame.iloc[i]
        for other in (type(fitted).load(tmp_path / "model"), interactive.to_classifier(cut)):
            assert other.effective_sparsity_ == fitted.effective_sparsity_
            assert other.dead_units_ == fitted.dead_units_
            assert other.disconnected_units_ == fitted.disconnected_units_
        assert row["effective_sparsity"] == fitted.effective_sparsity_ == cut.effective_sparsity
        assert path.dead_units[i] == fitted.dead_units_ == cut.connectivity.dead_units
        assert path.disconnected_units[i] == fitted.disconnected_units_ == cut.connectivity.disconnected_units
        assert row["dead_units"] == sum(fitted.dead_units_)
        assert row["disconnected_units"] == sum(fitted.disconnected_units_)
    assert fitted.effective_sparsity_ > fitted.sparsity_


# -- nothing to prune ------------------------------------------------------------------------------------

NOTHING = "prune_output must be True without hidden layers"


@pytest.mark.parametrize("schedule", ["one-shot", "gradual", "set"])
@pytest.mark.parametrize("sizes", [(), [], np.array([], dtype=int)], ids=["tuple", "list", "array"])
def test_a_sparsity_without_anything_prunable_is_refused(blobs, make, sizes, schedule):
    from prunelab.estimators import PrunedMLPClassifierCV

    classifier = make(hidden_layer_sizes=sizes, schedule=schedule)
    with pytest.raises(ValueError, match=NOTHING):
        make(hidden_layer_sizes=sizes, schedule=schedule, sparsity=0.5).fit(*blobs)
    with pytest.raises(ValueError, match=NOTHING):
        sparsity_path(classifier, *blobs, sparsities=[0, 0.5])
    with pytest.raises(ValueError, match=NOTHING):
        PrunedMLPClassifierCV(classifier, sparsities=[0, 0.5], cv=2).fit(*blobs)
    assert sparsity_path(classifier, *blobs, sparsities=[0]).frame["effective_sparsity"].tolist() == [0]
    prunable = make(hidden_layer_sizes=sizes, schedule=schedule, sparsity=0.5, prune_output=True).fit(*blobs)
    assert prunable.effective_sparsity_ == prunable.sparsity_ == 0.5


def test_partial_fit_and_pruning_by_hand_refuse_too(blobs, make):
    with pytest.raises(ValueError, match=NOTHING):
        make(hidden_layer_sizes=(), sparsity=0.5).partial_fit(*blobs)
    interactive = InteractivePruning(make(hidden_layer_sizes=()).fit(*blobs), *blobs, *blobs)
    assert interactive.prune(0.0).effective_sparsity == 0
    with pytest.raises(ValueError, match=NOTHING):
        interactive.prune(0.5)


def test_the_sparsity_of_the_estimator_of_a_path_is_not_used(blobs, make):
    assert len(sparsity_path(make(hidden_layer_sizes=(), sparsity=0.5), *blobs, sparsities=[0]).frame) == 1


def test_the_warning_points_at_the_caller(blobs, make):
    classifier = make(sparsity=1.0, max_iter=1)
    for call in (lambda: classifier.fit(*blobs), lambda: sparsity_path(classifier, *blobs, sparsities=[1.0])):
        with pytest.warns(PruningWarning) as caught:
            call()
        assert {warning.filename for warning in caught} == {__file__}
