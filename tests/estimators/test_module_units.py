"""Units of the user's own module: found in its graph, removed at once, and the smaller module computes the same."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from prunelab.estimators import PrunedModuleClassifier, PruningWarning, iter_sparsity_path, prune_module
from prunelab.estimators.backend import import_torchvision
from prunelab.estimators.networks.module import network_of
from prunelab.estimators.networks.sources import Source
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.compact import compact
from prunelab.estimators.pruning.pruner import Pruner
from torch import nn
from torch.nn import functional

from .test_module import SETTINGS, X, Y


class Convolutions(nn.Module):
    """A residual sum, squeeze and excitation, a grouped and a depthwise convolution, concatenation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 5, 3, padding=1, bias=False)
        self.back = nn.Conv2d(5, 6, 3, padding=1)
        self.squeeze, self.excite = nn.Linear(6, 4), nn.Linear(4, 6)
        self.depthwise = nn.Conv2d(6, 12, 3, groups=6)
        self.grouped = nn.Conv2d(12, 8, 3, groups=2)
        self.each = nn.GroupNorm(8, 8)
        self.other = nn.Conv2d(12, 3, 3)
        self.head = nn.Linear(11 * 4, 10)

    def forward(self, images):
        values = torch.relu(self.norm(self.stem(images)))
        values = torch.relu(values + self.back(functional.gelu(self.inner(values))))
        gates = torch.sigmoid(self.excite(torch.relu(self.squeeze(values.mean((2, 3))))))
        values = torch.tanh(self.depthwise(values * gates[:, :, None, None]))
        values = torch.cat([torch.relu(self.each(self.grouped(values))), self.other(values)], 1)
        return self.head(functional.max_pool2d(values, 2).flatten(1))


class Transformer(nn.Module):
    """An encoder block behind a class token and position embeddings."""

    def __init__(self, batch_first=True):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.places = nn.Parameter(torch.randn(1, 9, 16))
        self.block = nn.TransformerEncoderLayer(16, 4, 24, batch_first=batch_first)
        self.head = nn.Linear(16, 10)
        self.batch_first = batch_first

    def forward(self, steps):
        values = torch.cat([self.token.expand(steps.shape[0], -1, -1), self.embed(steps)], 1) + self.places
        if not self.batch_first:
            return self.head(self.block(values.transpose(0, 1))[0])
        return self.head(self.block(values)[:, 0])


class FixedView(nn.Module):
    """The first convolution can lose filters; the size of the second is written into the code."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 5, 3), nn.Linear(80, 10)

    def forward(self, images):
        return self.head(torch.relu(self.second(torch.relu(self.first(images)))).view(-1, 80))


MODULES = {
    "convolutions": (Convolutions, (1, 8, 8), ["stem", "inner", "squeeze", "grouped", "other"]),
    "transformer": (Transformer, (8, 8), ["block.self_attn", "block.linear1"]),
    "batch second": (lambda: Transformer(batch_first=False), (8, 8), ["block.self_attn", "block.linear1"]),
    "fixed view": (FixedView, (1, 8, 8), ["first"]),
}


def float64(network, seed=0):
    """The initial tensors in float64, with statistics and shifts that are not those of the identity."""
    rng = np.random.default_rng(seed)
    tensors = network.initial(seed)
    return {name: array + 0.1 * rng.random(array.shape) for name, array in tensors.items()}


def logits(network, tensors):
    inputs = network.example if network.takes_integers else network.example.double()
    return network.forward({name: torch.from_numpy(array) for name, array in tensors.items()}, inputs).numpy()


def check_pruning(network, granularity, sparsities=(0, 0.33, 0.5, 0.9, 1)):
    tensors = float64(network)
    pruner = Pruner(Choices(granularity=granularity), network, tensors)
    for sparsity in sparsities:
        pruned = pruner.prune(sparsity)
        kept = pruned.units if granularity == "unit" else {r.name: pruned.masks[r.name] for r in network.weights
                                                          if not r.is_output}  # fmt: skip
        assert [int((~mask).sum()) for mask in kept.values()] == [round(sparsity * m.size) for m in kept.values()]
        masked = {name: np.where(pruned.masks[name], tensor, 0) for name, tensor in tensors.items()}
        small = compact(network, masked)
        expected = logits(network, masked)
        np.testing.assert_allclose(
            logits(small.network, small.tensors), expected, rtol=1e-12, atol=1e-12 * max(1, np.abs(expected).max())
        )
        assert {name: tensor.shape for name, tensor in small.tensors.items()} == {
            name: record.shape for name, record in small.network.records.items()
        }
        if granularity == "unit":
            widths = {name: max(int(mask.sum()), 1) for name, mask in pruned.units.items()}
            assert {g.name: g.size for g in small.network.hidden_groups} == widths


@pytest.mark.parametrize("granularity", ["unit", "weight"])
@pytest.mark.parametrize("name", MODULES)
def test_masked_and_smaller_modules_compute_the_same(name, granularity):
    torch.manual_seed(0)
    make, shape, groups = MODULES[name]
    network = network_of(Source(make()), shape)
    assert [group.name for group in network.hidden_groups] == groups
    check_pruning(network, granularity)


def test_what_cannot_be_pruned_is_reported_with_the_reason():
    _, report = prune_module(Transformer(), torch.zeros(2, 8, 8), sparsity=0.5)
    assert report.widths == {"block.self_attn": (4, 2), "block.linear1": (24, 12)}
    assert "layer_norm computes the statistics of a sample over them" in report.fixed["embed"]
    assert report.not_pruned == ("token", "places")
    assert "not pruned: places" in str(report)
    _, report = prune_module(FixedView(), torch.zeros(2, 1, 8, 8), sparsity=0.5)
    assert "its code does not compute with fewer of them" in report.fixed["second"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_networks_of_torchvision(name):
    import_torchvision()
    import torchvision

    torch.manual_seed(0)
    module = getattr(torchvision.models, name)(num_classes=4)
    network = network_of(Source(module), (3, 32, 32))
    assert not network.units.fixed
    check_pruning(network, "unit", (0.33, 0.9, 1))
    smaller, report = prune_module(module, torch.zeros(2, 3, 32, 32), sparsity=0.5)
    assert all(after == before - round(before / 2) for before, after in report.widths.values())
    assert report.parameters[1] == sum(p.numel() for p in smaller.parameters())
    assert report.parameters[1] < 0.3 * report.parameters[0]


def test_the_smaller_module_can_be_trained_pickled_and_exported():
    torch.manual_seed(0)
    module = Convolutions()
    before = copy.deepcopy(module.state_dict())
    smaller, report = prune_module(module, torch.zeros(2, 1, 8, 8), sparsity=0.5)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    assert (smaller.depthwise.groups, smaller.depthwise.in_channels, smaller.depthwise.out_channels) == (2, 2, 4)
    assert (smaller.norm.num_features, smaller.each.num_groups) == (2, 4)
    assert (smaller.head.in_features, smaller.head.out_features) == (20, 10)
    assert report.parameters == tuple(sum(p.numel() for p in m.parameters()) for m in (module, smaller))
    samples = torch.from_numpy(X[:8]).reshape(8, 1, 8, 8)
    functional.cross_entropy(smaller(samples), torch.from_numpy(Y[:8])).backward()
    assert all(parameter.grad is not None for parameter in smaller.parameters())
    smaller.eval()
    again = pickle.loads(pickle.dumps(smaller))
    exported = torch.export.export(smaller, (samples,)).module()
    with torch.no_grad():
        assert torch.equal(again(samples), smaller(samples))
        torch.testing.assert_close(exported(samples), smaller(samples))


def test_weights_of_a_module_become_zeros():
    module = FixedView()
    smaller, report = prune_module(module, torch.zeros(2, 1, 8, 8), sparsity=0.75, granularity="weight")
    for name, (before, after) in report.weights.items():
        parameter = smaller.get_parameter(name)
        assert int((parameter != 0).sum()) == after == (before if name == "head.weight" else before - before * 3 // 4)
        assert not parameter[torch.from_numpy(~report.masks[name])].any()


def test_criteria_that_look_at_data_need_them():
    module, example = FixedView(), torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"criterion='taylor' looks at data: give data=\(X, y\)"):
        prune_module(module, example, sparsity=0.5, criterion="taylor")
    _, report = prune_module(module, example, sparsity=0.5, criterion="taylor", data=(X.reshape(-1, 1, 8, 8), Y))
    assert report.widths == {"first": (6, 3)}
    with pytest.raises(ValueError, match=r"data must be \(X, y\) with samples of shape \(1, 8, 8\)"):
        prune_module(module, example, sparsity=0.5, criterion="taylor", data=(X[:, :5], Y))
    with pytest.raises(ValueError, match="data must have classes from 0 to 9"):
        prune_module(module, example, sparsity=0.5, criterion="taylor", data=(X, Y + 1))


class Sorted(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, inputs):
        return self.head(torch.sort(self.hidden(inputs)).values)


class Declared(Sorted):
    def unit_groups(self):
        return {"units": [("hidden.weight", 0), ("hidden.bias", 0), ("head.weight", 1)]}

    def forward(self, inputs):
        return self.head(torch.fft.ifft(torch.fft.fft(self.hidden(inputs), dim=0), dim=0).real)


def test_unknown_operations_are_refused_by_name():
    message = r"uses the operation aten.sort, .* declare the units in a method unit_groups\(\), or use granularity="
    with pytest.raises(ValueError, match=message) as raised:
        prune_module(Sorted(), torch.zeros(2, 64), sparsity=0.5)
    assert "\n" not in str(raised.value)
    prune_module(Sorted(), torch.zeros(2, 64), sparsity=0.5, granularity="weight")
    with pytest.raises(ValueError, match=message):
        PrunedModuleClassifier(Sorted, granularity="unit", sparsity=0.5, **SETTINGS).fit(X, Y)


def test_a_module_declares_its_units_itself():
    smaller, report = prune_module(Declared(), torch.zeros(2, 64), sparsity=0.5)
    assert report.widths == {"units": (6, 3)}
    assert smaller.hidden.out_features == smaller.head.in_features == 3


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (["hidden"], "must return a dict"),
        ({"units": [("hiden.weight", 0)]}, "must name tensors of the module"),
        ({"units": [("hidden.weight", 2)]}, "must name tensors of the module"),
        ({"units": [("hidden.weight", 0)]}, "weights that compute the units of 'units', and that read them"),
        ({"units": [("hidden.weight", 0), ("head.weight", 0)]}, "as many units in all places of 'units', got 6, 10"),
        ({"units": [("hidden.weight", 0, {"inner": 4}), ("head.weight", 1)]}, "does not divide the axis"),
    ],
)
def test_declarations_that_cannot_be_are_refused(declared, message):
    class Wrong(Sorted):
        def unit_groups(self):
            return declared

    with pytest.raises(ValueError, match=message):
        prune_module(Wrong(), torch.zeros(2, 64), sparsity=0.5)


# -- as a classifier ---------------------------------------------------------------------------------------------


def test_units_are_pruned_while_fitting_and_the_compact_classifier_predicts_the_same():
    images = X.reshape(-1, 1, 8, 8)
    classifier = PrunedModuleClassifier(Convolutions, granularity="unit", sparsity=0.5, fine_tune_iter=1, **SETTINGS)
    classifier.fit(images, Y)
    assert classifier.masks_["norm.running_mean"].sum() == 2  # pairs, which the grouped convolution couples
    smaller = classifier.compact()
    np.testing.assert_allclose(smaller.predict_proba(images), classifier.predict_proba(images), atol=1e-5)
    assert smaller.tensors_["stem.weight"].shape == (2, 1, 3, 3)
    again = smaller.set_params(warm_start=True, max_iter=1).fit(images, Y)
    assert again.tensors_["stem.weight"].shape == (2, 1, 3, 3)


def test_an_emptied_group_warns_and_runs():
    with pytest.warns(PruningWarning, match="removed every weight of"):
        prune_module(Convolutions(), torch.zeros(2, 1, 8, 8), sparsity=1.0, min_kept=0)
    path = iter_sparsity_path(
        PrunedModuleClassifier(Convolutions, granularity="unit", **SETTINGS), X.reshape(-1, 1, 8, 8), Y, sparsities=[1]
    )
    with pytest.warns(PruningWarning, match="removed every weight of"):
        (point,) = path
    assert np.isfinite(point.to_classifier().predict_proba(X)).all()


@pytest.mark.parametrize("schedule", ["iterative", "gradual", "rewind", "l1", "l0", "before-training"])
def test_schedules_prune_units(schedule):
    classifier = PrunedModuleClassifier(
        FixedView, granularity="unit", sparsity=0.5, schedule=schedule, n_rounds=2, fine_tune_iter=1, **SETTINGS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        classifier.fit(X.reshape(-1, 1, 8, 8), Y)
    assert classifier.masks_["first.bias"].sum() == 3
    assert not classifier.tensors_["first.weight"][~classifier.masks_["first.weight"]].any()
