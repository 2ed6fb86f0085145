"""The lab with networks that are no perceptrons: the fields, a run, and the network on the explore screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import numpy as np
import pytest
from prunelab.estimators import load_model
from prunelab.estimators.data.datasets import load_source
from prunelab.estimators.parameters import PARAMETERS
from prunelab.estimators.presets import PRESETS
from prunelab.estimators.registry import ESTIMATORS
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs import descriptions
from prunelab.tui.runs.spec import RunSpec, preset_of
from prunelab.tui.runs.store import RunStore
from prunelab.tui.runs.worker import Worker
from prunelab.tui.service.explorer import Explorer, Network
from prunelab.tui.widgets.entries import network_for, network_problem, spec_of, values_of
from prunelab.tui.widgets.field import Cycle, Field
from prunelab.tui.widgets.form import RunForm
from textual.pilot import Pilot
from textual.widgets import Input

TINY = {"channels": (3, 4), "kernel_size": 3, "padding": "same", "hidden_layer_sizes": (6,), "max_iter": 1}
CNN = RunSpec(parameters=TINY, estimator="cnn", sparsities=(0.0, 0.5))
CELLS = {"cell": "gru", "hidden_size": (3, 4), "n_layers": 2, "bidirectional": True, "input_size": 5, "max_iter": 1}
RNN = RunSpec(parameters=CELLS, estimator="rnn", sparsities=(0.0, 0.5))
BLOCKS = {"width": 2, "shortcut": "padding", "max_iter": 1, "recalibrate": True, "prune_residual": True}
RESNET = RunSpec(parameters=BLOCKS, estimator="resnet", sparsities=(0.0, 0.5))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home without runs and data."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    monkeypatch.delenv("PRUNELAB_DATA", raising=False)
    return tmp_path


def play(test: Callable[[PrunelabApp, Pilot], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        app = PrunelabApp()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("n")
            await until(pilot, lambda: form_of(app).spec is not None)
            await test(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.05)


def form_of(app: PrunelabApp) -> RunForm:
    return app.screen.query_one(RunForm)


def fields_of(app: PrunelabApp) -> dict[str, Field]:
    return {cast("str", field.name): field for field in form_of(app).query(Field)}


def shown(app: PrunelabApp) -> set[str]:
    """The parameters of networks that have a field which is seen."""
    return {n for n, field in fields_of(app).items() if field.display and n in PARAMETERS and _is_of_network(n)}


def _is_of_network(name: str) -> bool:
    return PARAMETERS[name].kind == "network"


def spec_in(app: PrunelabApp) -> RunSpec:
    spec = form_of(app).spec
    assert spec is not None
    return spec


def test_the_network_decides_which_fields_there_are():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        assert shown(app) == {"hidden_layer_sizes", "fit_intercept"}
        before = spec_in(app)
        cast("Input", fields_of(app)["max_iter"].control).value = "7"
        fields_of(app)["estimator"].control.focus()
        await pilot.press("right")
        await until(pilot, lambda: form_of(app).spec is not None and spec_in(app).estimator == "cnn")
        names = {"channels", "kernel_size", "pooling", "padding", "hidden_layer_sizes", "batch_norm"}
        assert shown(app) == names
        assert spec_in(app).parameters["max_iter"] == 7
        assert spec_in(app).parameters["channels"] == PRESETS["small-cnn"].parameters["channels"]
        await pilot.press("right")
        await until(pilot, lambda: form_of(app).spec is not None and spec_in(app).estimator == "rnn")
        assert shown(app) == {"cell", "hidden_size", "n_layers", "bidirectional", "input_size"}
        assert spec_in(app).parameters["cell"] == PRESETS["small-gru"].parameters["cell"]
        await pilot.press(*["right"] * (len(ESTIMATORS) - 2))
        await until(pilot, lambda: form_of(app).spec is not None and spec_in(app).estimator == "mlp")
        assert shown(app) == {"hidden_layer_sizes", "fit_intercept"}
        assert spec_in(app).parameters == {**before.parameters, "max_iter": 7}

    play(test)


def test_a_network_too_deep_for_the_images_is_refused_beside_its_field():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        form_of(app).fill(CNN)
        await until(pilot, lambda: form_of(app).spec is not None)
        cast("Input", fields_of(app)["channels"].control).value = "2 2 2 2"
        await until(pilot, lambda: "no outputs left for images of 8x8" in fields_of(app)["channels"].error)
        assert form_of(app).spec is None
        cast("Input", fields_of(app)["channels"].control).value = "2 2"
        await until(pilot, lambda: form_of(app).spec is not None)
        assert spec_in(app).parameters["channels"] == (2, 2)

    play(test)


def test_presets_fill_the_fields_of_their_network():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        preset = cast("Cycle", fields_of(app)["preset"].control)
        preset.choose([name for name, _ in preset._options].index("small-cnn"))
        await until(pilot, lambda: form_of(app).spec is not None and spec_in(app).estimator == "cnn")
        assert spec_in(app).preset == "small-cnn"
        assert spec_in(app).parameters == PRESETS["small-cnn"].parameters
        assert preset.value == "small-cnn"

    play(test)


@pytest.mark.parametrize("name", PRESETS)
def test_the_fields_hold_a_preset_without_loss(name):
    spec = RunSpec.from_preset(name)
    assert preset_of(spec_of(values_of(spec), spec)) == name


@pytest.mark.parametrize("like", [CNN, RNN, RunSpec()], ids=["cnn", "rnn", "mlp"])
@pytest.mark.parametrize("spec", [CNN, RNN, RESNET], ids=["cnn", "rnn", "resnet"])
def test_the_fields_hold_a_network_whatever_the_experiment_before(spec, like):
    assert spec_of(values_of(spec), like).is_like(spec)


def test_a_number_of_widths_that_does_not_fit_is_refused_beside_its_field():
    spec = RunSpec(estimator="rnn", parameters={"hidden_size": (3, 4, 5), "n_layers": 2})
    assert list(spec.problems()) == ["hidden_size"]


def test_the_network_of_a_preset_fits_its_data():
    for estimator, dataset in (("mlp", "digits"), ("cnn", "digits"), ("cnn", "mnist"), ("cnn", "a file")):
        spec = RunSpec(dataset=dataset, estimator=estimator, parameters=network_for(estimator, dataset))
        assert network_problem(spec) == ""
    assert "no outputs left" in network_problem(RunSpec(dataset="digits", estimator="cnn"))


@pytest.mark.parametrize(
    ("spec", "names", "units"),
    [
        (CNN, ["conv1", "conv2", "hidden1", "output"], [3, 4, 6, 10]),
        (
            RNN,
            ["input", *(f"{c}.{p}" for c in ("rnn1", "backward1", "rnn2", "backward2") for p in ("input", "recurrent")),
             "output"],
            [5, 3, 3, 3, 3, 4, 4, 4, 4, 10],
        ),
        (
            RESNET,
            ["stem", *(f"block{i}.conv{j}" for i in (1, 2, 3) for j in (1, 2)), "output"],
            [2, 2, 2, 4, 4, 8, 8, 10],
        ),
    ],
    ids=["cnn", "rnn", "resnet"],
)  # fmt: skip
def test_the_explorer_prunes_and_saves_units(spec, names, units, home, tmp_path):
    run = RunStore().create(spec)
    worker = Worker(run)
    assert worker.work() == "finished"
    worker.close()
    request: dict[str, Any] = {
        "model": str(run.model_path(0)),
        "source": spec.source.to_json(),
        "content": None,
        "sparsity": 0.5,
        "ways": {"granularity": "unit"},
        "first": 0,
        "count": 4,
        "path": str(tmp_path / "pruned.safetensors"),
    }
    explorer = Explorer()
    answers = list(explorer.prune(request))
    network = next(Network(**answer["network"]) for answer in answers if "network" in answer)
    assert network.layer_names == names == descriptions.layer_names(spec)
    exact = answers[-1]
    assert [total for _, total in exact["figures"]["units"]] == units
    assert len(exact["gallery"]["pictures"]) == 4
    row = next(row for row in run.points() if (row["granularity"], row["sparsity"]) == ("unit", 0.5))
    assert exact["figures"]["accuracy"] == row["accuracy"]
    list(explorer.save(request))
    saved = load_model(tmp_path / "pruned.safetensors")
    assert saved.sparsity_ == pytest.approx(exact["figures"]["achieved_sparsity"])
    data = load_source(spec.source)
    assert np.mean(saved.predict(data.X_test) == data.y_test) == pytest.approx(row["accuracy"])
