"""Residual networks: their outputs, the stream that many layers write, and the classifier."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from prunelab.estimators import PrunedCNNClassifier, PrunedResNetClassifier, PruningWarning, load_model, sparsity_path
from prunelab.estimators.networks.resnet import ResNetNetwork
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.compact import compact
from prunelab.estimators.pruning.connectivity import connectivity
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.estimators.pruning.evidence import Evidence
from prunelab.estimators.pruning.flow import synaptic_flow
from prunelab.estimators.pruning.pruner import Pruner
from prunelab.estimators.recalibration import recalibrated
from prunelab.estimators.schedules.catalogue import CONTROLS, SCHEDULE_RECORDS, SCHEDULES
from prunelab.estimators.structures import STRUCTURES
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from .small_networks import RESNETS, random_samples, random_tensors, resnet_logits
from .test_sklearn_conventions import EXPECTED_FAILURES

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X, Y, X_TEST, Y_TEST = X[:700], Y[:700], X[700:1000], Y[700:1000]

every_resnet = pytest.mark.parametrize("network", RESNETS.values(), ids=RESNETS)
both_shortcuts = pytest.mark.parametrize("shortcut", ["projection", "padding"])


def make(**settings) -> PrunedResNetClassifier:
    settings = {"width": 4, "max_iter": 2, "random_state": 0, "device": "cpu", "learning_rate_init": 0.01, **settings}
    return PrunedResNetClassifier(**settings)


def as_torch(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def logits_of(network, tensors, inputs) -> np.ndarray:
    return network.forward(as_torch(tensors), torch.from_numpy(inputs)).numpy()


# -- the network -----------------------------------------------------------------------------------------


@both_shortcuts
@pytest.mark.parametrize(("depth", "n_blocks"), [(8, 3), (20, 9)])
def test_the_network_is_that_of_the_paper(shortcut, depth, n_blocks):
    network = ResNetNetwork.of((3, 32, 32), depth, 16, 10, shortcut, "uniform")
    assert len(network.blocks) == n_blocks
    assert (network.depth, network.width) == (depth, 16)
    assert len([r for r in network.weights if "projection" not in r.name]) == depth
    shapes = {record.name: record.shape for record in network.weights}
    assert shapes["stem.weight"] == (16, 3, 3, 3)
    assert shapes[f"block{n_blocks}.conv2.weight"] == (64, 64, 3, 3)
    assert shapes["output.weight"] == (64, 10)
    if (depth, shortcut) == (20, "padding"):
        assert sum(network.records[name].size for name in network.trained) == 269_722  # 0.27M in the paper
    if (depth, shortcut) == (8, "padding"):
        macs = 32 * 32 * 16 * 9 * (3 + 32) + 16 * 16 * 32 * 9 * (16 + 32) + 8 * 8 * 64 * 9 * (32 + 64) + 640
        assert network.dense_macs == macs


@every_resnet
def test_logits_and_all_that_a_recorder_sees_are_those_of_torch(network):
    tensors, (inputs, targets) = random_tensors(network, 0), random_samples(network, 9, seed=1)
    states = {}
    expected = resnet_logits(network, as_torch(tensors), torch.from_numpy(inputs), states=states)
    assert_allclose(logits_of(network, tensors, inputs), expected, rtol=1e-12, atol=1e-12)
    trace = Evidence(network, tensors, inputs, targets, dtype=torch.float64).sample.trace(torch.from_numpy(inputs))
    for record in network.weights:
        if not record.is_output:
            assert_allclose(trace.outputs[record.name], states[record.layer], rtol=1e-12, atol=1e-12)
            assert_allclose(trace.behind(record.name), states[record.name], rtol=1e-12, atol=1e-12)


@every_resnet
def test_activities_of_a_stream_are_means_over_its_states(network):
    tensors, (inputs, targets) = random_tensors(network, 0), random_samples(network, 9, seed=1)
    states = {}
    resnet_logits(network, as_torch(tensors), torch.from_numpy(inputs), states=states)
    found = Evidence(network, tensors, inputs, targets, dtype=torch.float64).activity
    of_units = ["stem.weight", *(f"block{i}.conv2.weight" for i in (1, 2, 3))]
    seen = of_units[:2] if network.shortcut == "projection" else of_units
    size = network.streams[0]
    expected = np.mean([states[name][:, :size].mean((0, 2, 3)).numpy() for name in seen], axis=0)
    assert_allclose(found.unit_activity["stream1"], expected)
    nonzero = np.mean([(states[name][:, :size] != 0).double().mean((0, 2, 3)).numpy() for name in seen], axis=0)
    assert_allclose(found.unit_nonzero["stream1"], nonzero)
    before = torch.nn.functional.unfold(states["block2.conv1.weight"], 3, padding=1)
    behind = states["block2.conv2.weight"].flatten(2)
    together = torch.einsum("nip,nup->ui", before, behind) / (len(inputs) * before.shape[2])
    assert_allclose(found.coactivity["block2.conv2.weight"].reshape(together.shape), together)


@every_resnet
def test_statistics_are_measured_one_behind_the_other(network):
    tensors, (inputs, _) = random_tensors(network, 0), random_samples(network, 7, seed=1)
    found = recalibrated(network, tensors, inputs, "cpu")
    states = {}
    resnet_logits(network, as_torch(found), torch.from_numpy(inputs), states=states)
    for name in network.normalisations:
        values = states[name].numpy()
        assert_allclose(found[f"{name}.mean"], values.mean(axis=(0, 2, 3)), rtol=1e-10, atol=1e-12)
        assert_allclose(found[f"{name}.variance"], values.var(axis=(0, 2, 3)), rtol=1e-10, atol=1e-12)


# -- units -----------------------------------------------------------------------------------------------


def pruned(network, choices, sparsity, seed=0):
    tensors, (inputs, targets) = random_tensors(network, seed), random_samples(network, 12, seed)

    def evidence():
        return Evidence(network, tensors, inputs, targets, dtype=torch.float64)

    found = Pruner(choices, network, tensors, make_evidence=evidence).prune(sparsity)
    return found, {name: np.where(found.masks[name], array, 0) for name, array in tensors.items()}, inputs


SPARSITIES = (0, 0.33, 0.5, 0.9, 1)
CRITERIA = [pytest.param(name, marks=[] if name in ("magnitude", "taylor", "apoz") else pytest.mark.slow)
            for name in criterion_names()]  # fmt: skip


@every_resnet
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_masked_and_compact_networks_have_the_same_logits(network, residual, criterion):
    for sparsity in SPARSITIES:
        choices = Choices(criterion, "unit", prune_residual=residual)
        found, tensors, inputs = pruned(network, choices, sparsity)
        small = compact(network, tensors)
        assert_allclose(
            logits_of(small.network, small.tensors, inputs), logits_of(network, tensors, inputs), rtol=0, atol=1e-12
        )
        for group in network.hidden_groups:
            if residual or not group.is_residual:
                left = group.size - round(sparsity * group.size)  # one decision a group
                assert found.units[group.name].sum() == left
                assert small.network.groups[group.name].size <= left
            else:
                assert group.name not in found.units
        if sparsity in (0, 0.33, 0.5) and residual:
            widths = {name: int(kept.sum()) for name, kept in found.units.items()}
            assert small.network == network.with_widths(widths)


@every_resnet
@pytest.mark.parametrize("density", [0.0, 0.05, 0.3])
def test_networks_of_few_weights_are_compact_without_another_output(network, density):
    """Also of rows that lose all weights, whose normalisation is a constant: not zero, and through a relu."""
    for seed in range(20):
        rng, tensors = np.random.default_rng(seed), random_tensors(network, seed)
        inputs, _ = random_samples(network, 5, seed)
        for record in network.weights:
            tensors[record.name] *= rng.random(record.shape) < (1 if rng.random() < 0.3 else density)
            rows = rng.random(record.shape[record.output_axis]) < 0.5
            tensors[record.name] *= np.expand_dims(
                rows, [i for i in range(len(record.shape)) if i != record.output_axis]
            )
        small = compact(network, tensors)
        assert_allclose(
            logits_of(small.network, small.tensors, inputs), logits_of(network, tensors, inputs), rtol=0, atol=1e-11
        )


@every_resnet
@pytest.mark.parametrize("density", [0.1, 0.2, 0.4])
def test_effective_weights_are_those_through_which_something_flows(network, density):
    """Through a network of positive weights something flows from the input to the output exactly along the paths."""
    n_effective, n_nonzero = 0, 0
    for seed in range(20):
        rng, tensors = np.random.default_rng(seed), random_tensors(network, seed)
        for record in network.weights:
            kernels = rng.random((*record.shape[:2], *(1 for _ in record.shape[2:])))  # whole ones reach all positions
            tensors[record.name] *= kernels < (density if rng.random() < 0.8 else 0.5)
        flow = synaptic_flow(network, {r.name: torch.from_numpy(tensors[r.name]) for r in network.weights})
        found = connectivity(network, tensors)
        assert found.effective == [int((flow[record.name] > 0).sum()) for record in network.weights]
        n_effective, n_nonzero = n_effective + sum(found.effective), n_nonzero + sum(found.nonzero)
    assert 0 < n_effective < n_nonzero


def test_what_is_written_to_the_stream_reaches_only_later_readers():
    network = RESNETS["resnet"]
    tensors = {name: np.ones_like(array) for name, array in random_tensors(network, 0).items()}
    tensors["stem.weight"][0] = 0  # block 1 reads nothing from the first channel, but writes it
    tensors["block1.conv1.weight"][1, 1:] = 0  # a unit that reads the first channel alone
    found = connectivity(network, tensors)
    effective = dict(zip(found.names, found.effective, strict=True))
    units = dict(zip(network.groups, zip(found.dead_units, found.disconnected_units, strict=True), strict=True))
    assert units["stream1"] == (0, 0)
    assert units["block1.conv1"] == (1, 0)
    assert effective["block1.conv1.weight"] == 3 * 2 * 9  # neither that unit nor the first channel
    assert effective["block1.conv2.weight"] == 3 * 3 * 9  # not from that unit
    assert effective["block2.projection.weight"] == 4 * 3  # the first channel as well
    tensors["block2.conv1.weight"][:, 2] = 0
    tensors["block2.projection.weight"][:, 2] = 0  # block 1 still reads the last channel
    found = connectivity(network, tensors)
    effective = dict(zip(found.names, found.effective, strict=True))
    assert effective["stem.weight"] == 2 * 2 * 9
    assert effective["block1.conv2.weight"] == 2 * 3 * 9


def test_a_constant_channel_goes_where_only_unpadded_layers_read_it():
    network = RESNETS["resnet"]
    tensors = random_tensors(network, 0)
    for layer in ("block3.projection", "block3.conv2"):
        tensors[f"{layer}.weight"][0] = 0  # the output alone reads the last stream
    tensors["block2.projection.weight"][1] = tensors["block2.conv2.weight"][1] = (
        0  # block 3 reads this one through zeros
    )
    tensors["block2.projection.shift"][1] = 9
    small = compact(network, tensors)
    assert small.network.streams == (3, 4, 4)
    inputs, _ = random_samples(network, 5, 0)
    assert_allclose(logits_of(small.network, small.tensors, inputs), logits_of(network, tensors, inputs), atol=1e-12)
    tensors["block2.projection.shift"][1] = -99  # relu makes it zero
    assert compact(network, tensors).network.streams == (3, 3, 4)


# -- the classifier --------------------------------------------------------------------------------------


@both_shortcuts
def test_units_of_blocks_and_of_the_stream(shortcut, tmp_path):
    settings = {"shortcut": shortcut, "granularity": "unit", "sparsity": 0.5, "recalibrate": True, "max_iter": 4}
    inside = make(**settings).fit(X, Y)
    assert inside.masks_["stem.scale"].all()
    assert inside.masks_["block2.conv1.scale"].sum() == 4
    whole = make(**settings, prune_residual=True, fine_tune_iter=2).fit(X, Y)
    assert [whole.masks_[f"{layer}.scale"].sum() for layer in ("stem", "block1.conv2", "block3.conv2")] == [2, 2, 8]
    assert whole.score(X_TEST, Y_TEST) > 0.5
    small = whole.compact()
    assert small.get_params()["width"] == small.network_.width
    assert_allclose(small.predict_proba(X_TEST), whole.predict_proba(X_TEST), atol=1e-6)
    path = tmp_path / "model.prunelab"
    for classifier in (small, inside):
        classifier.save(path)
        loaded = load_model(path)
        assert_array_equal(loaded.predict_proba(X_TEST), classifier.predict_proba(X_TEST))
        assert loaded.get_params() == classifier.get_params()
        assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict(X_TEST), classifier.predict(X_TEST))
    unusual = small.set_params(width=(1, 2, 3, 4, 5, 6), max_iter=1).fit(X, Y)
    assert [group.size for group in unusual.network_.hidden_groups] == [1, 2, 3, 4, 5, 6]
    assert unusual.network_.width == (1, 2, 3, 4, 5, 6)
    unusual.save(path)
    assert load_model(path).network_ == unusual.network_
    assert load_model(path).fit(X, Y).network_ == unusual.network_


@pytest.mark.slow
def test_a_file_is_read_in_a_new_process(tmp_path):
    classifier = make(max_iter=1, granularity="unit", sparsity=0.5, prune_residual=True).fit(X[:100], Y[:100])
    classifier.save(tmp_path / "model.prunelab")
    np.save(tmp_path / "x.npy", X_TEST)
    code = (
        "import sys, numpy as np; from prunelab.estimators import load_model; "
        "np.save(sys.argv[3], load_model(sys.argv[1]).predict_proba(np.load(sys.argv[2])))"
    )
    files = [tmp_path / name for name in ("model.prunelab", "x.npy", "p.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    assert_array_equal(np.load(files[2]), classifier.predict_proba(X_TEST))


def test_everything_removed_gives_a_warning_and_one_answer():
    for residual in (False, True):
        classifier = make(width=1, granularity="unit", sparsity=1.0, prune_residual=residual, max_iter=1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            probabilities = classifier.fit(X, Y).predict_proba(X_TEST)
        messages = [str(w.message) for w in caught if issubclass(w.category, PruningWarning)]
        assert any("same answer to every input" in text for text in messages) == residual
        if residual:
            assert_array_equal(probabilities, np.broadcast_to(probabilities[0], probabilities.shape))
        assert np.isfinite(classifier.compact().predict_proba(X_TEST)).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_every_schedule_leaves_exact_masks_that_hold(schedule, granularity):
    if granularity == "unit" and SCHEDULE_RECORDS[schedule].of_weights:
        pytest.skip("about single weights")
    settings = {"schedule": schedule, "granularity": granularity, "sparsity": 0.5, "n_rounds": 2, "rewind_step": 2}
    settings |= {"prune_residual": True, "recalibrate": True, "fine_tune_iter": 1, "shortcut": "padding"}
    classifier = make(**settings, augment="crop").fit(X[:200], Y[:200])
    for name, mask in classifier.masks_.items():
        assert not classifier.tensors_[name][~mask].any()
    if granularity == "unit":
        layers = ("stem", "block1.conv1", "block2.conv2", "block3.conv2")
        assert [classifier.masks_[f"{layer}.scale"].mean() for layer in layers] == [0.5] * 4
    assert classifier.sparsity_ == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("control", [name for name in CONTROLS if name != "none"])
def test_controls(control):
    settings = {"granularity": "unit", "prune_residual": True, "sparsity": 0.5, "control": control}
    classifier = make(**settings, shortcut="padding", max_iter=1).fit(X[:200], Y[:200])
    assert classifier.masks_["block3.conv2.scale"].sum() == 2 + 2 + 4


def test_a_path_shows_units_with_and_without_recalibration():
    path = sparsity_path(make(granularity="unit", max_iter=4), X, Y, sparsities=[0, 0.5], X_test=X_TEST, y_test=Y_TEST)
    again = sparsity_path(
        make(granularity="unit", max_iter=4, recalibrate=True), X, Y, sparsities=[0, 0.5], X_test=X_TEST, y_test=Y_TEST
    )
    assert path.frame.accuracy[0] == again.frame.accuracy[0]
    assert again.frame.loss[1] < path.frame.loss[1]
    assert again.frame.accuracy_not_recalibrated.tolist() == path.frame.accuracy.tolist()
    assert "accuracy_not_recalibrated" not in path.frame


@parametrize_with_checks(
    [PrunedResNetClassifier(width=4, batch_size=20, device="cpu")],  # more updates, which the running statistics need
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
    xfail_strict=False,  # within the check's tolerance on some machines
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_grids_and_pipelines():
    pipeline = make_pipeline(MinMaxScaler(), make(granularity="unit", max_iter=1))
    grid = {"prunedresnetclassifier__prune_residual": [False, True], "prunedresnetclassifier__sparsity": [0.5]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X[:300], Y[:300])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 9}, "depth must be 6n+2 with n of at least 1: 8, 14, 20, 26, ..., got 9"),
        ({"width": (4, 4)}, "width must be one number, or 6 with depth=8, those of stream1, block1.conv1"),
        ({"shortcut": "none"}, "shortcut must be one of 'projection', 'padding', got 'none'"),
        ({"exclude_layers": ("conv1",), "sparsity": 0.5}, "there is no layer 'conv1': the layers are stream1"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError) as refused:
        make(**settings).fit(X, Y)
    assert message in str(refused.value)


def test_layers_are_excluded_by_the_names_of_weights_or_groups():
    classifier = make(max_iter=1, sparsity=0.5, exclude_layers=("stem", "block2.conv1")).fit(X, Y)
    left = {name for name, mask in classifier.masks_.items() if mask.all() and name.endswith("weight")}
    assert left == {"stem.weight", "block2.conv1.weight", "output.weight"}
    units = make(
        max_iter=1,
        sparsity=0.5,
        granularity="unit",
        prune_residual=True,
        shortcut="padding",
        exclude_layers=("stream1",),
    ).fit(X, Y)
    assert units.masks_["block3.conv2.scale"].tolist()[:4] == [True] * 4
    assert units.masks_["block3.conv2.scale"].sum() == 4 + 2 + 4


@both_shortcuts
@pytest.mark.parametrize("depth", [8, 14])
def test_layers_and_units_are_named_without_torch(shortcut, depth):
    network = ResNetNetwork.of((1, 8, 8), depth, 4, 10, shortcut, "uniform")
    given = {"depth": depth, "width": 4, "shortcut": shortcut}
    structure = STRUCTURES["resnet"]
    assert structure.layers(given) == network.layer_names
    assert structure.units(given) == list(network.groups)
    assert structure.widths(given) == [4, 8, 16]
    assert structure.kind(given) == f"ResNet-{depth}"


# -- augmentation and step sizes -------------------------------------------------------------------------


@pytest.mark.parametrize("augment", ["crop", "crop-flip"])
@pytest.mark.parametrize("kind", [PrunedResNetClassifier, PrunedCNNClassifier])
def test_augmented_images_follow_from_the_seed_and_resume_bit_for_bit(augment, kind):
    from prunelab.estimators.engine import prepare, train

    shape = {"width": 2} if kind is PrunedResNetClassifier else {"channels": (3,), "kernel_size": 3}
    classifier = kind(**shape, augment=augment, max_iter=2, random_state=0, device="cpu", precision="float32")
    prepared = prepare(classifier, X[:330], Y[:330])
    checkpoints = []

    class Interrupted(Exception):  # noqa: N818
        pass

    def listen(event):
        if event.epoch == 2 or not checkpoints:
            checkpoints.append(event.checkpoint())
        if event.epoch == 2:
            raise Interrupted

    whole = train(classifier, prepared).training
    with pytest.raises(Interrupted):
        train(classifier, prepared, listen)
    again = train(classifier, prepared, checkpoint=checkpoints[0]).training
    for name, array in whole.tensors.items():
        assert_array_equal(array, again.tensors[name])
    plain = train(classifier.set_params(augment="none"), prepare(classifier, X[:330], Y[:330])).training
    assert any((array != whole.tensors[name]).any() for name, array in plain.tensors.items())


def test_images_are_moved_and_mirrored_as_wholes():
    from prunelab.estimators.training.augmentation import Augmentation

    image = torch.arange(1.0, 1 + 2 * 16 * 8).reshape(2, 16, 8)
    augmentation = Augmentation((2, 16, 8), background=-7.0, flips=True)
    inputs = image.reshape(1, -1).expand(200, -1)
    found = augmentation(inputs, torch.Generator().manual_seed(0)).reshape(200, 2, 16, 8)
    wider = torch.full((2, 20, 10), -7.0)
    wider[:, 2:18, 1:9] = image
    possible = {}
    for down in range(5):
        for across in range(3):
            part = wider[:, down : down + 16, across : across + 8]
            possible[part.numpy().tobytes()] = (down, across, False)
            possible[part.flip(2).contiguous().numpy().tobytes()] = (down, across, True)
    seen = [possible[changed.numpy().tobytes()] for changed in found.contiguous()]
    assert len(set(seen)) == 30
    assert_array_equal(augmentation(inputs, torch.Generator().manual_seed(0)).reshape(found.shape), found)


def test_steps_of_the_learning_rate():
    from prunelab.estimators.engine import task_of

    classifier = make(learning_rate="step", learning_rate_init=0.1, max_iter=160)
    recipe = task_of(classifier, ResNetNetwork.of((1, 8, 8), 8, 2, 3, "padding", "uniform"), 100, 0).recipe
    assert_allclose(
        [recipe.rate(epoch / 160) for epoch in (0, 79, 80, 119, 120, 159)], [0.1] * 2 + [0.01] * 2 + [0.001] * 2
    )
    assert repr(recipe) == repr(replace(recipe, augment="none"))
    assert "augment" not in repr(recipe)
