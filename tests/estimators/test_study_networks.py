"""Studies with other networks, and the shapes of their curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators.parameters import conflicts
from prunelab.estimators.presets import PRESETS, variants_of
from prunelab.estimators.studies.catalogue import STUDIES, parts_of
from prunelab.estimators.studies.comparisons import paired_differences
from prunelab.estimators.studies.networks import NETWORKS, possible_ways, with_estimator
from prunelab.estimators.studies.run import run_study
from prunelab.estimators.studies.shapes import on_shapes, shapes_of

TAKING = [name for name, study in STUDIES.items() if study.takes_estimator]


def test_the_studies_that_take_other_networks():
    assert set(TAKING) == {"light-pruning", "norms", "global", "largest", "criteria"}


@pytest.mark.parametrize("name", TAKING)
@pytest.mark.parametrize("estimator", [name for name in NETWORKS if name != "mlp"])
@pytest.mark.parametrize("quick", [False, True])
def test_a_study_keeps_its_comparison_and_takes_another_network(name, estimator, quick):
    network = PRESETS[NETWORKS[estimator][quick]]
    parts = parts_of(with_estimator(STUDIES[name], name, estimator), quick)
    assert list(parts) == list(STUDIES[name].parts)
    for label, part in parts.items():
        assert (part.estimator, part.dataset) == (estimator, network.dataset)
        assert network.parameters.items() <= part.parameters.items()
        assert part.sparsities == STUDIES[name].parts[label].sparsities
        for variant in variants_of(part.ways):
            assert not conflicts({**part.parameters, "sparsity": 0.5, **variant}, estimator)


def test_the_study_of_the_mlp_is_the_study():
    assert with_estimator(STUDIES["global"], "global", "mlp") is STUDIES["global"]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(ValueError, match="tickets is about its own networks"):
        with_estimator(STUDIES["tickets"], "tickets", "cnn")
    with pytest.raises(ValueError, match="no study knows the estimator 'cat'"):
        run_study("global", estimator="cat")


def test_criteria_that_a_network_refuses_are_left_out():
    ways = {"granularity": ("weight", "unit"), "criterion": ("magnitude", "apoz")}
    found = possible_ways(ways, {"activation": "tanh"}, "cnn")
    assert found == {"granularity": ("weight", "unit"), "criterion": ("magnitude",)}


def curves(**lost: list[float]) -> pd.DataFrame:
    """A table of three seeds, which differ a little; the losses are at 0, 50, 80, 90 and 95 %."""
    rows = []
    for name, losses in lost.items():
        part, method = name.split("_")
        for seed in range(3):
            for sparsity, loss in zip((0.0, 0.5, 0.8, 0.9, 0.95), losses, strict=True):
                accuracy = 0.95 - loss - 0.0001 * seed * (sparsity > 0)
                rows.append({"part": part, "method": method, "seed": seed, "sparsity": sparsity, "accuracy": accuracy})
    return pd.DataFrame(rows)


FLAT = [0, 0.001, 0.01, 0.11, 0.5]
STEEP = [0, 0.05, 0.2, 0.4, 0.7]
HARMLESS = [0, 0, 0, 0.001, 0.01]


def test_shapes_are_recognised():
    found = {shape.name: shape for shape in shapes_of(curves(A_weight=FLAT, A_unit=STEEP, B_weight=HARMLESS))}
    flat, steep, harmless = found["A, weight"], found["A, unit"], found["B, weight"]
    assert (flat.is_flat, flat.collapses) == (True, True)
    assert (steep.is_flat, steep.collapses) == (False, True)
    assert (harmless.is_flat, harmless.collapses) == (True, False)
    assert flat.knees[0] == pytest.approx(0.81)  # a tenth of the way from 1 to 11 points
    assert np.isnan(harmless.knees).all()
    assert flat.lost[0.95] == pytest.approx(0.5001)


def sentences(frame: pd.DataFrame) -> str:
    return "\n".join(on_shapes(frame, paired_differences(frame, "weight", ("part",)), "weight"))


def test_the_sentences_state_knees_losses_and_the_common_shape():
    text = sentences(curves(A_weight=FLAT, A_unit=FLAT))
    assert "A, weight: two points are lost at 81.0 % (95 % interval" in text
    assert "points lost: 0.1 at 50 %, 1.0 at 80 %, 11.0 at 90 %, 50.0 at 95 %" in text
    assert "All 2 curves have one shape" in text
    assert "better in 0, no difference found in 4" in text


def test_other_shapes_are_named():
    text = sentences(curves(A_weight=FLAT, A_unit=STEEP, B_weight=HARMLESS))
    assert "1 of 3 curves are flat" in text
    assert "A, unit (is not flat); B, weight (loses 1.0 points at most)" in text
    assert "B, weight: loses less than two points up to 95 % (n = 3)" in text


def test_the_cost_of_units_is_counted():
    rng = np.random.default_rng(0)
    frame = curves(A_weight=FLAT, A_unit=STEEP)
    frame["accuracy"] += rng.normal(0, 1e-4, len(frame))
    table = paired_differences(frame, "weight", ("part",))
    text = "\n".join(on_shapes(frame, table.assign(p_holm=0.001), "weight"))
    assert "Pruning by unit always costs more than by weight at equal sparsity: worse in 4 of 4" in text
    half = table.assign(p_holm=[0.001, 0.5, 0.5, 0.5])
    assert "unit was never found to cost less than by weight" in "\n".join(on_shapes(frame, half, "weight"))
    better = table.assign(p_holm=0.001, difference=-table["difference"])
    assert "unit does not always cost more" in "\n".join(on_shapes(frame, better, "weight"))


def test_a_table_without_dense_networks_has_no_shapes():
    frame = curves(A_weight=FLAT)
    assert shapes_of(frame[frame["sparsity"] > 0]) == []
