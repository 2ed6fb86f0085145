"""How long experiments take: epochs counted, not timed."""

from __future__ import annotations

import pytest
from prunelab.estimators import PrunedMLPClassifier, load_dataset
from prunelab.estimators.presets import variants_of
from prunelab.estimators.studies.catalogue import EQUAL_TOTAL, STUDIES, parts_of, rounds_of
from prunelab.estimators.studies.duration import estimated_seconds, training_epochs
from prunelab.estimators.studies.run import sweep
from prunelab.estimators.training.events import EpochEnded


@pytest.mark.parametrize(
    ("ways", "parameters"),
    [
        ({}, {}),
        ({"granularity": ("weight", "unit")}, {}),
        ({"granularity": ("weight", "unit")}, {"fine_tune_iter": 2}),
        ({"schedule": ("rewind",)}, {"n_rounds": 3}),
        ({"schedule": ("rewind", "rewind-reinit", "rewind-shuffle")}, {"n_rounds": "auto"}),
        ({"schedule": ("gradual", "set", "l1", "before-training")}, {}),
    ],
)
def test_the_epochs_are_those_that_are_trained(ways, parameters):
    parameters = {"hidden_layer_sizes": (8,), "max_iter": 2, "n_iter_no_change": 100, **parameters}
    sparsities = (0.0, 0.488, 0.9)  # 0.488 = 1 - 0.8 ** 3 is on the ladder, 0.9 is not
    trained = []

    def count(event):
        if isinstance(event, EpochEnded):
            trained.append(event)

    list(
        sweep(
            PrunedMLPClassifier(**parameters),
            load_dataset("digits"),
            sparsities=sparsities,
            variants=variants_of(ways),
            on_event=count,
        )
    )
    expected = training_epochs(parameters, ways, sparsities)
    assert len(trained) <= expected <= 1.3 * len(trained) + 4


def test_twice_the_epochs_take_twice_as_long():
    data = load_dataset("digits")
    assert training_epochs({"max_iter": 20}, {}, (0.0, 0.5)) == 2 * training_epochs({"max_iter": 10}, {}, (0.0, 0.5))
    assert estimated_seconds({"hidden_layer_sizes": (8,), "max_iter": 20}, {}, (0.0, 0.5), data) > 0


def test_rounds_are_those_of_the_ladder():
    assert [rounds_of(1 - 0.8**n) for n in range(1, 30)] == list(range(1, 30))
    assert rounds_of(0.5) == 4  # 20, 36, 48.8 and 50 %


@pytest.mark.parametrize("quick", [False, True])
def test_small_networks_have_the_updates_of_all_rounds_of_the_ticket(quick):
    parts = parts_of(STUDIES["why-large"], quick)
    ticket = parts["ticket of 300-100"].parameters["max_iter"]
    for label, sparsity in STUDIES["why-large"].counts_as.items():
        epochs = parts[label].parameters["max_iter"]
        assert epochs == (ticket * (1 + rounds_of(sparsity)) if label.endswith(EQUAL_TOTAL) else ticket)


@pytest.mark.parametrize("quick", [False, True])
def test_other_methods_have_the_updates_of_all_rounds_of_the_tickets(quick):
    parts = parts_of(STUDIES["early-tickets"], quick)
    (ticket,) = (preset for label, preset in parts.items() if label == "found afterwards")
    others = {label: preset for label, preset in parts.items() if preset is not ticket}
    epochs = {label: preset.parameters["max_iter"] / ticket.parameters["max_iter"] for label, preset in others.items()}
    assert {label for label, ratio in epochs.items() if ratio == 1} == {
        label.removesuffix(EQUAL_TOTAL) for label, ratio in epochs.items() if ratio == 6
    }
    assert len(others) == 8


def test_updates_are_equal_where_the_budgets_say_so():
    data = load_dataset("digits")
    recipe = {"max_iter": 2, "n_iter_no_change": 100, "batch_size": 300}
    sparsity = 0.6
    ticket = PrunedMLPClassifier(hidden_layer_sizes=(8,), schedule="rewind", n_rounds="auto", **recipe)
    longer = {**recipe, "max_iter": 2 * (1 + rounds_of(sparsity))}
    small = PrunedMLPClassifier(hidden_layer_sizes=(4,), **longer)
    (of_ticket,) = sweep(ticket, data, sparsities=(sparsity,), variants=[{}])
    (of_small,) = sweep(small, data, sparsities=(0.0,), variants=[{}])
    assert of_ticket.row["updates"] == of_small.row["updates"]
