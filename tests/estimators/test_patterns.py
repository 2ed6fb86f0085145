"""N:M patterns and blocks, against torch's sparsifier and plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.pattern_masks import as_matrix, from_matrix
from prunelab.estimators.pruning.patterns import Blocks, NOfM, parse_pattern
from prunelab.estimators.pruning.pruner import Pruner
from torch.ao.pruning import WeightNormSparsifier

from .small_networks import random_tensors

QUICK = settings(max_examples=60, deadline=None)
MLP = MLPNetwork((12, 9, 7, 5, 3), fit_intercept=True)
CNN = CNNNetwork((3, 9, 8), (4, 6), 3, 2, "same", (8,), 3)
NETWORKS = {"mlp": MLP, "cnn": CNN}


def matrices(network, arrays):
    """For each layer with weights its matrix (n_out, fan_in), written out for the two kinds of tensors."""
    return {
        record.name: arrays[record.name].reshape(record.shape[0], -1)
        if len(record.shape) == 4
        else arrays[record.name].T
        for record in network.weights
    }


def pruned_by(network, tensors, pattern, sparsity, before=None, **choices):
    choices = Choices(**{"pattern": pattern, "prune_output": True, **choices})
    return Pruner(choices, network, tensors, before).prune(sparsity)


# -- N of M ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (4, 8)])
def test_as_torchs_sparsifier(n, m):
    model = torch.nn.Sequential(torch.nn.Linear(2 * m, 6, bias=False), torch.nn.Linear(6 * m, 5, bias=False))
    sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, m), zeros_per_block=m - n)
    sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}, {"tensor_fqn": "1.weight"}])
    sparsifier.step()
    expected = [layer.parametrizations.weight[0].mask.numpy().astype(bool) for layer in model]
    for layer, mask in zip(model, expected, strict=True):
        weight = layer.parametrizations.weight.original.detach().numpy().T
        network = MLPNetwork(weight.shape)
        pruned = pruned_by(network, {"output.weight": weight}, f"{n}:{m}", 1 - n / m)
        np.testing.assert_array_equal(pruned.masks["output.weight"], mask.T)
        assert pruned.achieved_sparsity == 1 - n / m


def n_of_m_by_loops(matrix, n, m, order, kept=None):
    """Of each run of weights keep the n highest, ties by index; of a shorter last run ceil(r * n / m)."""
    mask = np.ones(matrix.shape, dtype=bool)
    for row, scores in enumerate(matrix):
        for begin in range(0, len(scores), m):
            run = range(begin, min(begin + m, len(scores)))
            stay = int(np.ceil(len(run) * n / m - 1e-12))
            sign = 1 if order == "smallest" else -1
            keys = {j: (kept is None or kept[row, j], sign * scores[j], j) for j in run}
            ranked = sorted(run, key=keys.__getitem__)
            mask[row, ranked[: len(run) - stay]] = False
    return mask


@given(
    kind=st.sampled_from(list(NETWORKS)),
    m=st.integers(2, 9),
    order=st.sampled_from(["smallest", "largest"]),
    seed=st.integers(0, 5),
    data=st.data(),
)
@QUICK
def test_n_of_m_as_plain_loops_ties_and_shorter_runs_included(kind, m, order, seed, data):
    network, n = NETWORKS[kind], data.draw(st.integers(1, m - 1))
    tensors = {name: np.round(a * 2) / 2 for name, a in random_tensors(network, seed).items()}
    before = None
    if data.draw(st.booleans()):
        rng = np.random.default_rng(seed)
        before = {name: rng.random(a.shape) < 0.8 for name, a in tensors.items()}
    pruned = pruned_by(network, tensors, f"{n}:{m}", 1 - n / m, before, order=order)
    scores = {name: np.abs(matrix) for name, matrix in matrices(network, tensors).items()}
    earlier = {} if before is None else matrices(network, before)
    for name, mask in matrices(network, pruned.masks).items():
        expected = n_of_m_by_loops(scores[name], n, m, order, earlier.get(name))
        np.testing.assert_array_equal(mask, expected & earlier.get(name, True))


@given(m=st.integers(2, 9), sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted), data=st.data())
@QUICK
def test_below_its_sparsity_each_run_loses_its_part_and_masks_are_nested(m, sparsities, data):
    n = data.draw(st.integers(1, m - 1))
    tensors = random_tensors(CNN, 0)
    path = [pruned_by(CNN, tensors, f"{n}:{m}", min(s, 1 - n / m)) for s in sparsities]
    for sparsity, pruned in zip(sparsities, path, strict=True):
        for mask in matrices(CNN, pruned.masks).values():
            for begin in range(0, mask.shape[1] - m + 1, m):
                removed = (~mask[:, begin : begin + m]).sum(axis=1)
                assert set(removed) == {round(min(sparsity, 1 - n / m) * m)}
    for denser, sparser in pairwise(path):
        assert not any((mask & ~denser.masks[name]).any() for name, mask in sparser.masks.items())


def test_a_pattern_in_some_layers_only():
    tensors = random_tensors(MLP, 0)
    masks = pruned_by(MLP, tensors, "2:4", {"hidden1": 0.5, "output": 0.5}).masks
    assert masks["hidden2.weight"].all()
    assert masks["hidden3.weight"].all()
    assert (masks["hidden1.weight"].reshape(3, 4, 9).sum(axis=1) == 2).all()


# -- blocks ----------------------------------------------------------------------------------------------


def blocks_by_loops(matrix, rows, columns, norm):
    """The places and the score of each block, from the first rows on."""
    places, scores = [], []
    for top in range(0, matrix.shape[0], rows):
        for left in range(0, matrix.shape[1], columns):
            places.append((slice(top, top + rows), slice(left, left + columns)))
            scores.append(np.linalg.norm(matrix[places[-1]].ravel(), ord=norm))
    return places, scores


@given(
    kind=st.sampled_from(list(NETWORKS)),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    norm=st.sampled_from([1, 2, np.inf]),
    scope=st.sampled_from(["layer", "global"]),
    order=st.sampled_from(["smallest", "largest"]),
    sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=3).map(sorted),
)
@QUICK
def test_whole_blocks_are_removed_by_their_norm(kind, rows, columns, norm, scope, order, sparsities):
    if rows * columns == 1:
        columns = 2
    network = NETWORKS[kind]
    tensors = random_tensors(network, 0)
    choices = {"norm": norm, "scope": scope, "order": order}
    path = [pruned_by(network, tensors, f"{rows}x{columns}", s, **choices) for s in sparsities]
    layers = {n: blocks_by_loops(m, rows, columns, norm) for n, m in matrices(network, tensors).items()}
    ranked = [[name] for name in layers] if scope == "layer" else [list(layers)]
    for sparsity, pruned in zip(sparsities, path, strict=True):
        masks = matrices(network, pruned.masks)
        for together in ranked:
            blocks = [(name, place, score) for name in together for place, score in zip(*layers[name], strict=True)]
            blocks.sort(key=lambda block: block[2] if order == "smallest" else -block[2])
            n_removed = round(sparsity * len(blocks))
            for i, (name, place, _) in enumerate(blocks):
                assert masks[name][place].all() if i >= n_removed else not masks[name][place].any()
    for denser, sparser in pairwise(path):
        assert not any((mask & ~denser.masks[name]).any() for name, mask in sparser.masks.items())


@pytest.mark.parametrize("shape", ["4x1", "1x4", "3x2"])
@pytest.mark.parametrize("min_kept", [1, 7, 0.3])
def test_blocks_leave_each_layer_its_least_number_of_weights(shape, min_kept):
    tensors = random_tensors(CNN, 1)
    pruned = pruned_by(CNN, tensors, shape, 1.0, min_kept=min_kept, scope="global")
    block = np.prod([int(side) for side in shape.split("x")])
    for record in CNN.weights:
        kept, wanted = pruned.masks[record.name].sum(), min_kept
        wanted = min(min_kept, record.size) if isinstance(min_kept, int) else np.ceil(min_kept * record.size)
        assert wanted <= kept < wanted + block


def test_what_was_removed_before_stays_removed():
    tensors = random_tensors(MLP, 0)
    before = pruned_by(MLP, tensors, "2x2", 0.5).masks
    after = pruned_by(MLP, random_tensors(MLP, 1), "2x2", 0.7, before)
    assert not any((mask & ~before[name]).any() for name, mask in after.masks.items())
    for record, mask in zip(MLP.weights, matrices(MLP, after.masks).values(), strict=True):
        n_blocks = np.prod([-(-side // 2) for side in mask.shape])
        gone = [
            not mask[i : i + 2, j : j + 2].any() for i in range(0, len(mask), 2) for j in range(0, mask.shape[1], 2)
        ]
        assert sum(gone) == round(0.7 * n_blocks), record.name


# -- the notation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pattern"), [("2:4", NOfM(2, 4)), ("1:16", NOfM(1, 16)), ("4x1", Blocks(4, 1)), ("16x16", Blocks(16, 16))]
)
def test_patterns_are_read(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text", ["", "2", "4:2", "4:4", "0:4", "2:0", "1x1", "0x4", "2:4:8", "a:b", " 2:4", "2:1025", "64x64"]
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(ValueError, match="no pattern"):
        parse_pattern(text)


@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 0), ((5, 3), 1), ((4, 2, 3, 3), 0), ((0, 3), 0), ((3, 0), 0)])
def test_matrices_keep_every_entry_in_its_place(shape, axis):
    array = np.arange(np.prod(shape)).reshape(shape)
    matrix = as_matrix(array, axis)
    assert matrix.shape == (shape[axis], np.prod(np.delete(shape, axis)))
    np.testing.assert_array_equal(from_matrix(matrix, shape, axis), array)
