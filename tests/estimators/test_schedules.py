"""When to prune: exact sparsities, masks that hold, and the rules of each schedule held against its source."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from prunelab.estimators import PrunedMLPClassifier, engine, iter_sparsity_path, sparsity_path
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.pruning.allocation import kept_per_layer
from prunelab.estimators.pruning.masks import output_sparsity
from prunelab.estimators.schedules import gradual, penalties, rewiring, synaptic, tickets
from prunelab.estimators.schedules.catalogue import SCHEDULES as SCHEDULE_NAMES
from prunelab.estimators.schedules.catalogue import SHORT_FOR
from prunelab.estimators.schedules.penalties import shrink, shrink_units
from prunelab.estimators.schedules.problem import SCHEDULES, Problem, cubic, ladder
from prunelab.estimators.training import loop
from prunelab.estimators.training.events import EpochEnded
from sklearn.datasets import make_classification

from .lists import listed, unit_masks, weight_masks

X, Y = make_classification(500, 20, n_informative=12, n_classes=3, random_state=0)
X = X.astype(np.float32)
ALL = [name for name in SCHEDULE_NAMES if name != "one-shot"]


def make(schedule, **parameters):
    settings = {"hidden_layer_sizes": (24, 16), "max_iter": 4, "batch_size": 50, "random_state": 2, "device": "cpu"}
    if schedule == "iterative":
        settings["fine_tune_iter"] = 1
    return PrunedMLPClassifier(schedule=schedule, n_rounds=3, **{**settings, **parameters})


def removed(classifier):
    return [int((~mask).sum()) for mask in weight_masks(classifier)]


def test_the_names_are_those_of_the_parameter():
    assert {*SCHEDULES, *SHORT_FOR} == set(SCHEDULE_NAMES)


@pytest.mark.parametrize("schedule", ALL)
@pytest.mark.parametrize("sparsity", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_sparsity_is_exact_and_what_was_removed_is_zero(schedule, sparsity, solver):
    classifier = make(schedule, sparsity=sparsity, solver=solver, alpha=0.01, distribution="uniform").fit(X, Y)
    sizes = [20 * 24, 24 * 16]
    assert removed(classifier) == [*(round(sparsity * n) for n in sizes), 0]
    for coef, mask in zip(classifier.coefs_, weight_masks(classifier), strict=True):
        assert not coef[~mask].any()
    assert classifier.sparsity_ == pytest.approx(sum(removed(classifier)) / sum(sizes))
    assert np.isfinite(classifier.predict_proba(X)).all()


@pytest.mark.parametrize("schedule", [name for name in ALL if name not in ("set", "rigl", "synaptic")])
def test_units_and_biases_go_too(schedule):
    classifier = make(schedule, sparsity=0.5, granularity="unit", fit_intercept=True).fit(X, Y)
    for mask, biases in zip(weight_masks(classifier)[:2], unit_masks(classifier)[:2], strict=True):
        assert int((~biases).sum()) == len(biases) // 2
        assert not mask[:, ~biases].any()
    for bias, mask in zip(classifier.intercepts_, unit_masks(classifier), strict=True):
        assert not bias[~mask].any()


@pytest.mark.parametrize("schedule", ALL)
def test_the_same_seed_gives_the_same_network_and_the_path_agrees_with_fit(schedule):
    classifier = make(schedule)
    path = sparsity_path(classifier, X, Y, sparsities=(0.0, 0.5, 0.8))
    for i, sparsity in enumerate((0.0, 0.5, 0.8)):
        fitted = make(schedule, sparsity=sparsity).fit(X, Y)
        np.testing.assert_equal(fitted.tensors_, path.tensors[i])
    other = make(schedule, sparsity=0.5, random_state=3).fit(X, Y)
    assert any((a != b).any() for a, b in zip(weight_masks(other), path.masks[1].values(), strict=True))


@pytest.mark.parametrize("schedule", ALL)
def test_nothing_to_remove_is_the_dense_network(schedule):
    dense = make("one-shot").fit(X, Y)
    fitted = make(schedule, sparsity=0.0).fit(X, Y)
    for a, b in zip(fitted.coefs_, dense.coefs_, strict=True):
        assert_array_equal(a, b)


def test_the_ladder_removes_the_same_part_each_round_and_ends_exactly():
    rungs = ladder(1 - 0.8**9, 9)
    assert_allclose(rungs, [1 - 0.8**i for i in range(1, 10)])
    assert rungs[-1] == 1 - 0.8**9
    assert ladder(0.9, 1) == [0.9]


def problem_of(classifier):
    return engine.problem_of(classifier, engine.prepare(classifier, X, Y))


def test_tickets_are_nested_and_start_from_the_initial_weights():
    problem = problem_of(make("rewind"))
    initial = problem.initial.tensors
    previous = None
    for rung, ticket in zip((0.2, 0.5, 0.8), tickets.tickets(problem, (0.2, 0.5, 0.8)), strict=True):
        for name, before in ticket.tensors_before.items():
            assert_array_equal(before, np.where(ticket.pruned.masks[name], initial[name], 0))
        assert ticket.pruned.achieved_sparsity == pytest.approx(rung, abs=2e-3)
        if previous is not None:
            assert all(
                (~a | b).all()
                for a, b in zip(ticket.pruned.masks.values(), previous.pruned.masks.values(), strict=True)
            )
        previous = ticket


def test_the_first_ticket_is_what_magnitude_leaves_of_the_dense_network():
    (ticket,) = tickets.tickets(problem_of(make("rewind")), (0.6,))
    one_shot = make("one-shot", sparsity=0.6).fit(X, Y)
    for a, b in zip(ticket.pruned.masks.values(), weight_masks(one_shot), strict=True):
        assert_array_equal(a, b)


def test_rewinding_to_a_step_gives_the_weights_of_that_step():
    whole_epoch = make("one-shot", max_iter=1).fit(X, Y)  # ten steps of fifty
    problem = problem_of(make("rewind", rewind_step=10))
    for a, b in zip(listed(tickets.weights_at_step(problem, 10)), whole_epoch.coefs_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("early_stopping", [False, "measure"])
def test_a_step_that_there_is_not_is_refused_before_anything_is_trained(early_stopping):
    steps = 40 if early_stopping is False else 36
    events = []
    classifier = make("rewind", rewind_step=steps + 1, sparsity=0.5, early_stopping=early_stopping)
    with pytest.raises(ValueError, match=f"rewind_step={steps + 1} is beyond the {steps} steps"):
        classifier.fit(X, Y, on_event=events.append)
    variants = [{"schedule": "one-shot"}, {}]
    with pytest.raises(ValueError, match="is beyond"):
        list(iter_sparsity_path(classifier, X, Y, variants=variants, on_event=events.append))
    assert not events
    classifier.set_params(rewind_step=steps).fit(X, Y)


@pytest.mark.parametrize("schedule", [name for name in SCHEDULE_NAMES if name != "iterative"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_every_schedule_is_fine_tuned_if_that_is_wanted(schedule, sparsity):
    classifier = make(schedule, sparsity=sparsity, fine_tune_iter=2).fit(X, Y)
    assert len(classifier.fine_tune_loss_curve_) == 2
    plain = make(schedule, sparsity=sparsity).fit(X, Y)
    assert plain.fine_tune_loss_curve_ == []
    for a, b, mask in zip(classifier.coefs_, plain.coefs_, weight_masks(classifier), strict=True):
        assert not np.array_equal(a, b)
        assert not a[~mask].any()


@pytest.mark.parametrize("schedule", [name for name in SCHEDULE_NAMES if name != "l0"])
@pytest.mark.parametrize("early_stopping", [True, "measure"])
def test_what_is_held_out_is_never_trained_on(schedule, early_stopping):
    if early_stopping is True and schedule != "one-shot":
        return
    trained = set()
    classifier = make(schedule, early_stopping=early_stopping, sparsity=0.5, fine_tune_iter=1)
    classifier.fit(X, Y, on_event=lambda event: trained.add(event.samples / event.epoch) if ended(event) else None)
    assert trained == {450}


def ended(event):
    return isinstance(event, EpochEnded)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (12, 8)])
def test_the_accuracy_of_a_point_is_that_of_its_network(hidden_layer_sizes):
    settings = {"hidden_layer_sizes": hidden_layer_sizes, "prune_output": not hidden_layer_sizes}
    classifier = make("rewind-reinit", **settings, fine_tune_iter=1)
    variants = [{"schedule": name} for name in SCHEDULE_NAMES]
    for sparsity in (0.0, 1e-4, 0.5):  # one thousandth of a weight is nothing removed, but trained otherwise
        points = iter_sparsity_path(classifier, X, Y, sparsities=[sparsity], variants=variants, X_test=X, y_test=Y)
        for point in points:
            assert point.row["accuracy"] == point.to_classifier().score(X, Y), point.estimator.schedule


@pytest.mark.parametrize("schedule", ["one-shot", "gradual", "l1", "set", "rigl", "synaptic", "l0", "rewind"])
@pytest.mark.parametrize("criterion", ["taylor", "obd", "fisher", "wanda", "activation", "apoz", "movement", "grasp"])
def test_samples_of_no_weight_have_no_say(schedule, criterion):
    if schedule in ("set", "rigl", "synaptic", "l0") and criterion != "taylor":
        return  # for every criterion
    weights = np.where(np.arange(len(X)) % 2, 1.0, 0.0)
    other_X, other_y = X.copy(), Y.copy()
    other_X[::2], other_y[::2] = -3 * X[::2] + 1, (Y[::2] + 1) % 3
    one, other = (
        make(schedule, sparsity=0.6, criterion=criterion, batch_size=500).fit(samples, labels, weights)
        for samples, labels in ((X, Y), (other_X, other_y))
    )
    for a, b in zip(weight_masks(one), weight_masks(other), strict=True):
        assert np.mean(a != b) < 0.01  # sums are rounded in another order


@pytest.mark.parametrize("schedule", ["gradual", "l1", "iterative"])
@pytest.mark.parametrize(("criterion", "activation"), [("grasp", "relu"), ("obd", "tanh"), ("obd", "logistic")])
def test_second_order_criteria_go_with_schedules_that_ask_while_training(schedule, criterion, activation):
    settings = {"criterion": criterion, "activation": activation, "max_iter": 2, "hidden_layer_sizes": (6, 4)}
    classifier = make(schedule, sparsity=0.5, **settings).fit(X, Y)
    assert removed(classifier) == [60, 12, 0]


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
def test_without_hidden_layers_there_is_nothing_to_remove(schedule):
    settings = {"criterion": "synflow"} if schedule not in ("set", "rigl", "synaptic") else {}
    with pytest.raises(ValueError, match="prune_output must be True without hidden layers"):
        make(schedule, hidden_layer_sizes=(), sparsity=0.5, **settings).fit(X, Y)
    classifier = make(schedule, hidden_layer_sizes=(), sparsity=0.0, **settings).fit(X, Y)
    assert removed(classifier) == [0]
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_iterative_pruning_retrains_after_every_round_and_its_rounds_are_nested(monkeypatch):
    kept = []
    original = Problem.train

    def train(self, start, pruned, phase, *rest, **more):
        kept.append((phase, pruned))
        return original(self, start, pruned, phase, *rest, **more)

    monkeypatch.setattr(Problem, "train", train)
    make("iterative", sparsity=0.8).fit(X, Y)
    assert [phase for phase, _ in kept] == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]
    achieved = [pruned.achieved_sparsity for _, pruned in kept]
    assert_allclose(achieved, ladder(0.8, 3), atol=2e-3)
    for (_, before), (_, after) in itertools.pairwise(kept):
        assert all((~a | b).all() for a, b in zip(after.masks.values(), before.masks.values(), strict=True))


def test_before_training_the_masks_are_those_of_the_initial_weights():
    classifier = make("before-training", sparsity=0.7)
    fitted = classifier.fit(X, Y)
    initial = listed(problem_of(classifier).initial.tensors)
    for mask, start in zip(weight_masks(fitted)[:2], initial, strict=False):
        smallest_kept, largest_gone = np.abs(start)[mask].min(), np.abs(start)[~mask].max()
        assert smallest_kept >= largest_gone


@pytest.mark.parametrize(("progress", "share"), [(0, 0), (0.5, 0.875), (1, 1), (2, 1), (-1, 0)])
def test_the_cubic_of_zhu_and_gupta(progress, share):
    assert cubic(0.8, progress) == pytest.approx(0.8 * share)


def test_gradual_pruning_only_ever_removes_and_follows_the_cubic(monkeypatch):
    monkeypatch.setattr(gradual, "UPDATES", 7)
    received = []
    original = gradual._Gradual.after_step

    def after_step(self, step, tensors, batch):
        masks = original(self, step, tensors, batch)
        if masks is not None:
            received.append((step, [mask.copy() for mask in masks.values()]))
        return masks

    monkeypatch.setattr(gradual._Gradual, "after_step", after_step)
    make("gradual", sparsity=0.9, max_iter=6).fit(X, Y)  # 60 steps
    assert len(received) == 7
    assert (received[0][0], received[-1][0]) == (6, 45)
    for step, masks in received:
        expected = cubic(0.9, (step - 6) / 39)
        assert (~masks[0]).mean() == pytest.approx(expected, abs=1 / 480)
    for (_, before), (_, after) in itertools.pairwise(received):
        assert all((~a | b).all() for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("schedule", ["set", "rigl"])
def test_rewiring_keeps_the_number_of_weights_and_changes_which(schedule, monkeypatch):
    received = []
    original = rewiring._Rewiring.after_step

    def after_step(self, step, tensors, batch):
        before = [mask.copy() for mask in self.masks.values()]
        weights = [tensor.numpy().copy() for tensor in tensors.values()]
        masks = original(self, step, tensors, batch)
        if masks is not None:
            gradients = self._gradients(tensors, batch)
            after = [mask.copy() for mask in masks.values()]
            received.append((step, before, after, weights, [gradients[name] for name in masks]))
        return masks

    monkeypatch.setattr(rewiring._Rewiring, "after_step", after_step)
    make(schedule, sparsity=0.8, max_iter=10).fit(X, Y)
    assert len(received) > 10
    for step, before, after, weights, gradients in received:
        fraction = 0.15 * (1 + np.cos(np.pi * step / 75))
        for layer in range(2):
            alive = int(before[layer].sum())
            assert after[layer].sum() == alive
            count = round(fraction * alive)
            dropped, grown = before[layer] & ~after[layer], after[layer] & ~before[layer]
            assert dropped.sum() <= count
            assert dropped.sum() == grown.sum()
            if count and dropped.any():
                stayed = before[layer] & after[layer]
                limit = np.sort(np.abs(weights[layer][before[layer]]))[count - 1]
                assert np.abs(weights[layer][dropped]).max() <= limit
                if schedule == "rigl" and grown.any():
                    never = ~before[layer] & ~after[layer]
                    assert np.abs(gradients[layer])[grown].min() >= np.abs(gradients[layer])[never].max()
                assert stayed.sum() >= alive - count
    assert any((before[0] != after[0]).any() for _, before, after, _, _ in received)


def test_rewiring_finds_the_features_that_matter():
    """Half of the features are noise: gradients lead the weights of a sparse first layer to the others."""
    rng = np.random.default_rng(0)
    noisy = np.hstack([X, rng.normal(size=(len(X), 60)).astype(np.float32)])
    classifier = make("rigl", sparsity=0.9, max_iter=30).fit(noisy, Y)
    share = weight_masks(classifier)[0][:20].sum() / weight_masks(classifier)[0].sum()
    assert share > 0.4  # by chance: 0.25


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.5, 0.83, 0.95, 0.999, 1])
def test_densities_add_up_exactly(sparsity):
    shapes = [(784, 300), (300, 100), (100, 10)]
    sizes = np.array([a * b for a, b in shapes])
    erk = kept_per_layer(shapes, sparsity, "erk")
    assert sum(erk) == sizes.sum() - round(sparsity * sizes.sum())
    assert all(0 <= kept <= size for kept, size in zip(erk, sizes, strict=True))
    assert kept_per_layer(shapes, sparsity, "uniform") == [size - round(sparsity * size) for size in sizes]


def test_erdos_renyi_densities_by_hand():
    shapes = [(784, 300), (300, 100)]
    kept = kept_per_layer(shapes, 0.95, "erk")
    total = 265200 - round(0.95 * 265200)
    assert kept[0] == pytest.approx(total * 1084 / 1484, abs=1)
    # A layer that would have more than all of its weights has all, and the rest goes to the others.
    assert kept_per_layer([(1000, 1000), (10, 10)], 0.98, "erk")[1] == 100


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"schedule": "iterative", "fine_tune_iter": 0}, "fine_tune_iter"),
        ({"schedule": "rigl", "granularity": "unit"}, "granularity"),
        ({"schedule": "gradual", "warm_start": True}, "warm_start"),
        ({"schedule": "gradual", "early_stopping": True}, "early_stopping"),
        ({"schedule": "sometimes"}, "schedule must be one of"),
        ({"n_rounds": 0}, "n_rounds"),
        ({"distribution": "even"}, "distribution"),
    ],
)
def test_conflicting_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        PrunedMLPClassifier((8,), max_iter=1, device="cpu", **parameters).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        sparsity_path(PrunedMLPClassifier((8,), max_iter=1, device="cpu", **parameters), X, Y)


def test_partial_fit_prunes_at_once_only():
    with pytest.raises(ValueError, match="partial_fit"):
        make("gradual").partial_fit(X, Y)


# -- penalties -------------------------------------------------------------------------------------------------


def test_shrinking_is_the_proximal_step_of_the_norm():
    """The minimum of |x - w|^2 / 2 + a |x|, found by brute force."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 4))
    grid = np.linspace(-4, 4, 80001)
    shrunk = torch.from_numpy(weights.copy())
    shrink(shrunk, 0.3)
    for w, got in zip(weights.ravel(), shrunk.numpy().ravel(), strict=True):
        assert got == pytest.approx(grid[np.argmin((grid - w) ** 2 / 2 + 0.3 * np.abs(grid))], abs=1e-4)
    columns = torch.from_numpy(weights.copy())
    shrink_units(MLPNetwork((3, 4)).groups["output"], {"output.weight": columns}, 0.3)
    norms = np.linalg.norm(weights, axis=0)
    assert_allclose(columns.numpy(), weights * np.maximum(norms - 0.3 * np.sqrt(3), 0) / norms)


def test_hard_concrete_gates_and_their_slopes():
    log_alpha = torch.linspace(-4, 4, 50, dtype=torch.float64).requires_grad_()
    uniform = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    s = torch.sigmoid((torch.log(uniform) - torch.log(1 - uniform) + log_alpha) / penalties.BETA)
    expected = (s * (penalties.ZETA - penalties.GAMMA) + penalties.GAMMA).clamp(0, 1)
    (slope,) = torch.autograd.grad(expected.sum(), log_alpha)
    gates, slopes = penalties.hard_concrete(log_alpha.detach(), uniform)
    assert_allclose(gates.numpy(), expected.detach().numpy())
    assert_allclose(slopes.numpy(), slope.numpy())


def test_gates_are_open_as_often_as_the_formula_says():
    log_alpha = torch.full((100_000,), 0.7)
    uniform = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    gates, _ = penalties.hard_concrete(log_alpha, uniform)
    offset = penalties.BETA * np.log(-penalties.GAMMA / penalties.ZETA)
    assert float((gates > 0).float().mean()) == pytest.approx(1 / (1 + np.exp(-(0.7 - offset))), abs=0.01)


def test_the_l1_penalty_makes_weights_exactly_zero_before_the_final_pruning(monkeypatch):
    zeros = []
    original = penalties._Shrinkage.after_step

    def after_step(self, step, tensors, batch):
        masks = original(self, step, tensors, batch)
        if self.pruned is None:  # of its own accord, not because it was pruned
            hidden = listed(tensors)[:2]
            zeros.append(float(torch.cat([p.reshape(-1) == 0 for p in hidden]).float().mean()))
        return masks

    monkeypatch.setattr(penalties._Shrinkage, "after_step", after_step)
    make("l1", sparsity=0.8, max_iter=30).fit(X, Y)
    assert zeros[0] < 0.05
    assert 0.7 < zeros[-1] < 0.95


def test_the_constraint_brings_the_gates_to_the_density():
    problem = problem_of(make("l0", max_iter=60))
    gated = penalties.GatedNetwork(problem, 0.8)
    trained = problem.train(problem.initial, None, "training with gates", network=gated)
    assert float(gated.expected_density()) == pytest.approx(0.2, abs=0.08)
    assert trained.loss_curve[-1] < trained.loss_curve[0]


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_gates_and_weights_follow_the_gradients_of_their_product(granularity):
    problem = problem_of(make("l0", granularity=granularity))
    gated = penalties.GatedNetwork(problem, 0.8)
    parameters = [torch.tensor(p, requires_grad=True) for p in listed(problem.initial.tensors)]
    log_alphas = [a.clone().requires_grad_() for a in gated.log_alphas.values()]
    noise = torch.Generator().manual_seed(problem.task.seed_for("prune"))
    uniform = [torch.rand(a.shape, generator=noise) for a in log_alphas]
    stretched = [
        torch.sigmoid((torch.log(u) - torch.log1p(-u) + a) / penalties.BETA)
        * (penalties.ZETA - penalties.GAMMA) + penalties.GAMMA
        for u, a in zip(uniform, log_alphas, strict=True)
    ]  # fmt: skip
    weights = [p * s.clamp(0, 1) for p, s in zip(parameters, stretched, strict=False)] + parameters[2:]
    hidden = torch.relu(torch.relu(torch.tensor(X[:50]) @ weights[0]) @ weights[1])
    reference = torch.nn.functional.cross_entropy(hidden @ weights[2], torch.tensor(Y[:50]))
    reference.backward()
    steps = {}
    gated._optimiser.update = steps.update
    tensors = name_tensors(parameters)
    loss, gradients = gated.loss_and_gradients(
        {name: tensor.detach() for name, tensor in tensors.items()}, torch.tensor(X[:50]), torch.tensor(Y[:50])
    )
    for name, gradient in gradients:
        assert_allclose(gradient.numpy(), tensors[name].grad.numpy(), atol=1e-6)
    assert float(loss) == pytest.approx(float(reference), rel=1e-5)
    for name, log_alpha in zip(gated.log_alphas, log_alphas, strict=True):
        assert_allclose(steps[name].numpy(), log_alpha.grad.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "changed", [{"solver": "sgd"}, {"alpha": 50.0}, {"learning_rate": "cosine"}, {"solver": "sgd", "momentum": 0.1}]
)
def test_gates_are_trained_by_the_recipe(changed):
    usual = make("l0", sparsity=0.5, **({"solver": "sgd"} if "momentum" in changed else {})).fit(X, Y)
    other = make("l0", sparsity=0.5, **changed).fit(X, Y)
    assert any((a != b).any() for a, b in zip(usual.coefs_, other.coefs_, strict=True))


# -- synaptic pruning ------------------------------------------------------------------------------------------


def test_synapses_of_silent_features_go_first():
    silent = np.hstack([X, np.full((len(X), 20), -1.0, dtype=np.float32)])
    classifier = make("synaptic", sparsity=0.5, max_iter=10, scope="global").fit(silent, Y)
    assert not weight_masks(classifier)[0][20:].any()
    assert weight_masks(classifier)[0][:20].mean() > 0.5


def test_a_synapse_is_eliminated_only_after_being_found_inactive_again_and_again(monkeypatch):
    tags = []
    original = synaptic._Microglia._eliminate

    def eliminate(self, sparsity):
        before = {name: alive.clone() for name, alive in self._alive.items()}
        original(self, sparsity)
        for name, alive in self._alive.items():
            tags.extend(self._tags[name][before[name] & ~alive].tolist())

    monkeypatch.setattr(synaptic._Microglia, "_eliminate", eliminate)
    make("synaptic", sparsity=0.8, max_iter=10).fit(X, Y)
    assert len(tags) > 300
    assert min(tags) >= synaptic.TAGS_TO_ELIMINATE


def test_activity_of_a_synapse_by_hand():
    problem = problem_of(make("synaptic"))
    microglia = synaptic._Microglia(problem, 0.5)
    weights = problem.initial.tensors["hidden1.weight"]
    tensors = {name: torch.from_numpy(array) for name, array in problem.initial.tensors.items()}
    microglia._observe(tensors, (torch.from_numpy(X), torch.from_numpy(Y), None))
    hidden = np.maximum(X @ weights, 0)
    before = X - X.min(axis=0)
    expected = np.abs(weights) * np.einsum("ni,nj->ij", before, hidden) / len(X)
    assert_allclose(microglia._activity["hidden1.weight"].numpy(), expected, rtol=1e-4)
    microglia._observe(tensors, (torch.zeros_like(torch.from_numpy(X)), torch.from_numpy(Y), None))
    second = np.abs(weights) * 0  # nothing fires behind a silent input
    assert_allclose(microglia._activity["hidden1.weight"].numpy(), 0.7 * expected + 0.3 * second, rtol=1e-4)


# -- tickets and their controls ----------------------------------------------------------------------------------


def test_twenty_percent_a_round():
    problem = problem_of(make("rewind"))
    problem.n_rounds = "auto"
    assert_allclose(problem.rungs(0.9), [*(1 - 0.8**i for i in range(1, 11)), 0.9])
    assert_allclose(problem.rungs(1 - 0.8**9), [1 - 0.8**i for i in range(1, 10)])
    assert problem.rungs(0.1) == [0.1]
    assert problem.rungs(1.0)[-1] == 1


def test_a_path_of_tickets_goes_on_from_the_ones_it_has_and_finds_the_same(monkeypatch):
    trained = []
    original = Problem.train
    monkeypatch.setattr(
        Problem, "train", lambda self, *rest, **more: trained.append(rest[2]) or original(self, *rest, **more)
    )
    sparsities = (0.2, 0.36, 0.6, 0.9)
    path = sparsity_path(make("rewind").set_params(n_rounds="auto"), X, Y, sparsities=sparsities)
    assert len(trained) == 12  # ten rungs of 20 %, and two sparsities between them
    for i, sparsity in enumerate(sparsities):
        alone = make("rewind", sparsity=sparsity).set_params(n_rounds="auto").fit(X, Y)
        for a, b in zip(alone.tensors_.values(), path.tensors[i].values(), strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("control", ["rewind-reinit", "rewind-shuffle"])
def test_controls_have_as_many_weights_in_every_layer_as_the_ticket(control):
    ticket = make("rewind", sparsity=0.7).fit(X, Y)
    other = make(control, sparsity=0.7).fit(X, Y)
    assert removed(other) == removed(ticket)
    same_masks = all((a == b).all() for a, b in zip(weight_masks(ticket), weight_masks(other), strict=True))
    assert same_masks == (control == "rewind-reinit")
    assert any((a != b).any() for a, b in zip(ticket.coefs_, other.coefs_, strict=True))


@pytest.mark.parametrize("schedule", ALL)
def test_every_schedule_prunes_the_output_layer_at_half_the_rate(schedule):
    classifier = make(schedule, sparsity=0.75, prune_output="half", distribution="uniform").fit(X, Y)
    assert removed(classifier) == [360, 288, round(output_sparsity(0.75) * 48)]


@pytest.mark.parametrize("schedule", [name for name in ALL if name != "l0"])
def test_where_a_pruned_network_s_training_should_have_stopped_is_measured(schedule, monkeypatch):
    monkeypatch.setattr(loop, "STEPS_BETWEEN_LOOKS", 4)
    monkeypatch.setattr(loop, "MIN_LOOKS", 1)
    classifier = make(schedule, early_stopping="measure", validation_fraction=0.2, batch_size=40, max_iter=6)
    dense, pruned = iter_sparsity_path(classifier, X, Y, sparsities=(0.0, 0.5), X_test=X, y_test=Y)
    for point in (dense, pruned):
        steps = 10 if schedule == "iterative" and point is pruned else 60  # ten of 40 in an epoch of 400
        assert point.row["early_stop_step"] in range(4, steps + 1, 4)
        assert 0.5 < point.row["early_stop_accuracy"] <= 1
    stopped = pruned.model.as_trained
    assert pruned.to_classifier().early_stop_step_ == stopped.early_stop_step
    for early, mask in zip(listed(stopped.early_stop_tensors), listed(pruned.model.pruned.masks), strict=True):
        if schedule not in ("gradual", "set", "rigl", "l1", "synaptic"):  # whose masks change
            assert not early[~mask].any()


def test_nothing_is_measured_of_a_network_that_was_pruned_after_its_training():
    classifier = make("one-shot", early_stopping="measure", batch_size=4)
    dense, pruned = iter_sparsity_path(classifier, X, Y, sparsities=(0.0, 0.5), X_test=X, y_test=Y)
    assert dense.row["early_stop_step"] >= 100
    assert np.isnan(pruned.row["early_stop_step"])
    assert np.isnan(pruned.row["early_stop_accuracy"])


def test_the_epochs_until_as_good_as_dense_are_counted_on_held_out_data():
    classifier = make("rewind", max_iter=6, early_stopping="measure", validation_fraction=0.2)
    test = {"X_test": X[400:], "y_test": Y[400:]}
    dense, pruned = iter_sparsity_path(classifier, X[:400], Y[:400], sparsities=(0.0, 0.3), **test)
    assert np.isnan(dense.row["epochs_to_dense"])  # the dense network itself
    scores = pruned.model.training.validation_scores
    level = dense.model.training.validation_scores[-1]
    reached = [epoch for epoch, score in enumerate(scores, 1) if score >= level]
    expected = float(reached[0]) if reached else np.nan
    assert pruned.row["epochs_to_dense"] == pytest.approx(expected, nan_ok=True)
    # Other test data change nothing.
    other = {"X_test": X[400:], "y_test": (Y[400:] + 1) % 3}
    *_, again = iter_sparsity_path(classifier, X[:400], Y[:400], sparsities=(0.0, 0.3), **other, watch=True)
    assert again.row["epochs_to_dense"] == pytest.approx(pruned.row["epochs_to_dense"], nan_ok=True)


def test_without_held_out_data_no_epochs_are_counted():
    *_, pruned = iter_sparsity_path(make("rewind"), X, Y, sparsities=(0.0, 0.3), X_test=X, y_test=Y, watch=True)
    assert "epochs_to_dense" not in pruned.row
