"""The records of the parameters agree with the classifiers, with each other, and with what users type."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
from prunelab.estimators.engine import prepare
from prunelab.estimators.parameters import (
    OF_PRUNING,
    PARAMETERS,
    check_value,
    conflicts,
    defaults_of,
    records_of,
)
from prunelab.estimators.parameters.records import RECORDS
from prunelab.estimators.presets import PRESETS, variants_of
from prunelab.estimators.pruning.catalogue import CRITERION_SUMMARIES
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.estimators.registry import ESTIMATORS, SCRIPT_ONLY, estimator_class
from prunelab.estimators.schedules.catalogue import CONTROLS, SCHEDULE_RECORDS, SCHEDULES
from sklearn.base import clone

EVERY = (*ESTIMATORS, *SCRIPT_ONLY)


@pytest.mark.parametrize("estimator", EVERY)
def test_constructors_have_the_parameters_and_defaults_of_the_records(estimator):
    signature = inspect.signature(estimator_class(estimator)).parameters
    named = {name: parameter for name, parameter in signature.items() if parameter.kind != parameter.VAR_KEYWORD}
    assert {name: parameter.default for name, parameter in named.items()} == defaults_of(estimator)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_records_are_consistent(record):
    assert set(record.estimators) <= set(EVERY)
    assert set(record.defaults) <= set(record.estimators)
    for estimator in record.estimators:
        check_value(record.name, record.default_of(estimator))
    assert set(record.notes) <= set(record.values.choices())
    assert set(record.choice_labels) <= set(record.values.choices())
    assert len(record.label) <= 14
    assert record.values.description
    if record.is_way:
        assert record.kind == "pruning"
        assert record.values.choices()
    assert not record.help.endswith(".")


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_what_is_shown_is_read_as_what_it_was(record):
    values = [*record.values.choices(), *(record.default_of(name) for name in record.estimators)]
    for value in values if record.help else []:
        if value is not None or record.label:
            assert record.values.read(record.values.show(value)) == value


@pytest.mark.parametrize(
    "record", [r for r in RECORDS if r.help and r.name != "memory"], ids=lambda record: record.name
)
def test_text_that_is_no_value_is_refused_when_it_is_read_or_checked(record):
    with pytest.raises(ValueError, match="must be"):
        check_value(record.name, record.values.read("\x00 nonsense"))


def test_records_have_different_names_and_options():
    assert len(PARAMETERS) == len(RECORDS)
    options = [option for record in RECORDS if record.help for option in (record.option, *record.spellings)]
    assert len(set(options)) == len(options)
    for estimator in ESTIMATORS:
        labels = [record.label for record in records_of(estimator) if record.label]
        assert len(set(labels)) == len(labels)


def test_the_catalogues_describe_what_there_is():
    assert list(CRITERION_SUMMARIES) == criterion_names()
    for record in SCHEDULE_RECORDS.values():
        assert record.summary
        assert set(record.parameters) <= set(OF_PRUNING)
        if record.short_for is not None:
            name, control = record.short_for
            assert name in SCHEDULES
            assert control in CONTROLS


def test_the_records_load_neither_torch_nor_sklearn():
    code = (
        "import sys; import prunelab.estimators.parameters, prunelab.estimators.presets;"
        "print([name for name in ('torch', 'sklearn', 'numpy', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_what_the_classifier_takes(name):
    preset = PRESETS[name]
    for variant in variants_of(preset.ways):
        for parameter, value in {**preset.parameters, **variant}.items():
            assert preset.estimator in PARAMETERS[parameter].estimators
            check_value(parameter, value)


def test_variants_are_all_combinations_in_order():
    assert variants_of({"a": (1, 2), "b": (3, 4)}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert variants_of({}) == [{}]


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({}, []),
        ({"warm_start": True, "early_stopping": True}, []),
        ({"schedule": "iterative"}, ["fine_tune_iter"]),
        ({"schedule": "iterative", "fine_tune_iter": 1, "granularity": "unit"}, []),
        ({"schedule": "set", "granularity": "unit", "early_stopping": True}, ["early_stopping", "granularity"]),
        ({"schedule": "synaptic", "granularity": "weight"}, []),
        ({"schedule": "rewind", "warm_start": True}, ["warm_start"]),
        ({"schedule": "rewind", "early_stopping": "measure"}, []),
    ],
)
def test_what_does_not_go_together_names_what_has_to_change(parameters, wrong):
    found = conflicts(parameters)
    assert list(found) == wrong
    assert all(sentence.startswith(name) for name, sentence in found.items())


def test_conflicts_stays_a_function_after_it_was_called():
    """No submodule has its name, which an import inside a function would put in its place."""
    code = (
        "from prunelab.estimators import parameters; parameters.conflicts({});"
        "from prunelab.estimators.parameters import conflicts; print(conflicts({}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "{}\n"


#: Values other than the defaults, of parameters whose values are not names from a list.
OTHERS = {
    "fine_tune_iter": 2,
    "fine_tune_learning_rate": 0.01,
    "n_rounds": 3,
    "rewind_step": 1,
    "exclude_layers": ("output",),
    "min_kept": 1,
}


@pytest.mark.parametrize("name", OF_PRUNING)
def test_parameters_of_the_pruning_do_not_change_the_dense_training(name):
    """Paths and caches share one dense training between values of these."""
    X, y = np.random.default_rng(0).normal(size=(20, 256)).astype(np.float32), np.arange(20) % 2
    classifier = estimator_class(PARAMETERS[name].estimators[0])(random_state=0)
    default = PARAMETERS[name].default
    others = [choice for choice in PARAMETERS[name].values.choices() if choice != default] or [OTHERS[name]]
    classifiers = [clone(classifier).set_params(**{name: value}) for value in (default, *others)]
    assert len({repr(prepare(changed, X, y).task) for changed in classifiers}) == 1
