"""Sparsity paths, their costs and pictures, and statistics over seeds."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators import (
    ORIGINAL_SPARSITIES,
    PruningWarning,
    SparsityPathDisplay,
    iter_sparsity_path,
    mean_interval,
    sparsity_path,
    summarise,
    sweep,
)
from prunelab.estimators.accounting import count_cost
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.path import COLUMNS, to_frame
from prunelab.estimators.pruning.connectivity import connectivity
from prunelab.estimators.schedules import problem
from prunelab.estimators.training.events import EpochEnded, PointEnded
from scipy import stats
from sklearn.metrics import log_loss
from sklearn.utils import Bunch

SPARSITIES = [0.0, 0.3, 0.6, 0.9]


@pytest.fixture(scope="module")
def path(digits, make):
    return sparsity_path(
        make(max_iter=3), *digits[:2], sparsities=SPARSITIES, X_test=digits.X_test, y_test=digits.y_test
    )


# -- the table -------------------------------------------------------------------------------------------


def test_the_columns(path):
    assert tuple(path.frame.columns) == COLUMNS
    assert len(path.frame) == 4
    np.testing.assert_array_equal(path.sparsities, SPARSITIES)
    np.testing.assert_array_equal(path.frame["sparsity"], SPARSITIES)
    assert set(path.frame["seed"]) == {0}
    assert set(path.frame["criterion"]) == {"magnitude"}
    assert set(path.frame["granularity"]) == {"weight"}
    assert set(path.frame["scope"]) == {"layer"}
    assert (
        path.frame.drop(columns=["criterion", "granularity", "scope"])
        .dtypes.map(lambda d: d.kind)
        .isin(["i", "f"])
        .all()
    )


def test_the_figures_are_those_of_classifiers_fitted_one_by_one(path, digits, make):
    for _, row in path.frame.iterrows():
        classifier = make(max_iter=3, sparsity=row["sparsity"]).fit(*digits[:2])
        assert row["accuracy"] == classifier.score(digits.X_test, digits.y_test)
        assert row["loss"] == pytest.approx(log_loss(digits.y_test, classifier.predict_proba(digits.X_test)), rel=1e-5)
        assert row["achieved_sparsity"] == classifier.sparsity_
        assert row["nonzero"] == classifier.n_nonzero_


def test_the_achieved_sparsity_is_counted(path):
    for row, masks in zip(path.frame.itertuples(), path.masks, strict=True):
        removed = sum(np.count_nonzero(~mask) for name, mask in masks.items() if name != "output.weight")
        assert row.achieved_sparsity == pytest.approx(removed / (64 * 24 + 24 * 12))
        assert row.nonzero == sum(np.count_nonzero(mask) for mask in masks.values())


def test_each_point_is_pruned_from_the_dense_network(digits, make):
    """Whatever was pruned before it: order and repetition do not matter."""
    there = sparsity_path(make(max_iter=1, fine_tune_iter=1), *digits[:2], sparsities=[0.2, 0.8])
    back = sparsity_path(make(max_iter=1, fine_tune_iter=1), *digits[:2], sparsities=[0.8, 0.8, 0.2])
    for one, other in ((0, 2), (1, 0), (1, 1)):
        for coef, same in zip(there.tensors[one].values(), back.tensors[other].values(), strict=True):
            np.testing.assert_array_equal(coef, same)


def test_without_test_data_accuracy_is_not_a_number(blobs, make):
    frame = sparsity_path(make(fine_tune_iter=1), *blobs, sparsities=SPARSITIES).frame
    assert frame[["accuracy", "loss", "accuracy_before_fine_tuning"]].isna().all(axis=None)
    assert frame[["nonzero", "compression", "macs", "speedup"]].notna().all(axis=None)


def test_fine_tuned_paths_tell_the_accuracy_before(digits, make):
    data = {"X_test": digits.X_test, "y_test": digits.y_test, "sparsities": [0.5, 0.9]}
    tuned = sparsity_path(make(fine_tune_iter=2), *digits[:2], **data).frame
    plain = sparsity_path(make(), *digits[:2], **data).frame
    assert tuple(tuned.columns) == (*COLUMNS, "accuracy_before_fine_tuning")
    np.testing.assert_array_equal(tuned["accuracy_before_fine_tuning"], plain["accuracy"])
    assert (tuned["accuracy"] > plain["accuracy"]).all()


def test_the_default_sparsities_are_those_of_the_original_experiment(blobs, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PruningWarning)
        assert tuple(sparsity_path(make(max_iter=1), *blobs).sparsities) == ORIGINAL_SPARSITIES


def test_a_table_without_rows_has_its_columns():
    assert tuple(to_frame([]).columns) == COLUMNS


# -- costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granularity", "fit_intercept", "nonzero", "compression", "macs", "speedup"),
    [
        ("weight", False, 8 + 12, 28 / 20, 20, 28 / 20),  # half of 4 x 4, all of 4 x 3
        ("weight", True, 8 + 12 + 7, 35 / 27, 20, 28 / 20),  # biases count as parameters, not as products
        ("unit", False, 8 + 6, 28 / 14, 14, 28 / 14),  # two units: 4 x 2 and 2 x 3
        ("unit", True, 8 + 6 + 5, 35 / 19, 14, 28 / 14),
    ],
)
def test_costs_counted_by_hand(blobs, make, granularity, fit_intercept, nonzero, compression, macs, speedup):
    classifier = make(hidden_layer_sizes=(4,), granularity=granularity, fit_intercept=fit_intercept)
    row = sparsity_path(classifier, *blobs, sparsities=[0.5]).frame.iloc[0]
    assert (row["nonzero"], row["macs"]) == (nonzero, macs)
    assert row["compression"] == pytest.approx(compression)
    assert row["speedup"] == pytest.approx(speedup)


def test_a_dense_network_is_not_compressed(blobs, make):
    row = sparsity_path(make(), *blobs, sparsities=[0]).frame.iloc[0]
    assert row["compression"] == row["speedup"] == 1.0


def test_an_empty_network_is_compressed_without_limit():
    network = MLPNetwork((2, 3, 2), fit_intercept=True)
    tensors = {name: np.zeros(record.shape) for name, record in network.records.items()}
    cost = count_cost(network, tensors, connectivity(network, tensors))
    assert (cost.parameters, cost.dense_macs, cost.nonzero, cost.macs) == (17, 12, 0, 0)
    assert cost.compression == cost.speedup == float("inf")


def test_a_network_without_biases_has_none_to_count():
    network, tensors = MLPNetwork((2, 3)), {"output.weight": np.ones((2, 3))}
    cost = count_cost(network, tensors, connectivity(network, tensors))
    assert (cost.parameters, cost.nonzero) == (6, 6)


# -- variants, events, points ----------------------------------------------------------------------------

VARIANTS = [{}, {"granularity": "unit"}, {"criterion": "random"}, {"scope": "global", "fine_tune_iter": 1}]


def test_variants_share_one_training(digits, make):
    """And each of them, the dense point included, is what its own fit would give."""
    events, X_test, y_test = [], digits.X_test, digits.y_test
    data = {"X_test": X_test, "y_test": y_test, "sparsities": [0.0, 0.7], "variants": VARIANTS}
    points = list(iter_sparsity_path(make(max_iter=2), *digits[:2], **data, on_event=events.append))
    assert [event.phase for event in events if isinstance(event, EpochEnded)] == ["training"] * 2 + ["fine-tuning"] * 2
    done = [event for event in events if isinstance(event, PointEnded)]
    assert [(event.point, event.points) for event in done] == [(number, 8) for number in range(1, 9)]
    assert [event.row for event in done] == [point.row for point in points]
    for point, variant in zip(points, np.repeat(VARIANTS, 2), strict=True):
        classifier = make(max_iter=2, sparsity=point.row["sparsity"], **variant).fit(*digits[:2])
        for coef, same in zip(point.model.tensors.values(), classifier.tensors_.values(), strict=True):
            np.testing.assert_array_equal(coef, same)
        assert point.row["accuracy"] == classifier.score(X_test, y_test)


def test_the_dense_network_is_ranked_once_for_each_choice(blobs, make, monkeypatch):
    ranked = []
    make_pruner = problem.make_pruner
    monkeypatch.setattr(problem, "make_pruner", lambda *given: ranked.append(given[1]) or make_pruner(*given))
    variants = [{}, {"control": "shuffle"}, {"granularity": "unit"}]  # a control has the ranking of what it controls
    points = list(iter_sparsity_path(make(max_iter=1), *blobs, sparsities=SPARSITIES, variants=variants))
    assert len(points) == 12
    assert [choices.granularity for choices in ranked] == ["weight", "unit"]


def test_points_come_as_they_are_done(digits, make):
    events = []
    points = iter_sparsity_path(make(max_iter=1), *digits[:2], sparsities=SPARSITIES, on_event=events.append)
    assert next(points).row["sparsity"] == 0.0
    assert sum(isinstance(event, PointEnded) for event in events) == 1
    points.close()


def test_the_estimator_is_not_changed(blobs, make):
    classifier = make(sparsity=0.2)
    before = dict(vars(classifier))
    sparsity_path(classifier, *blobs, sparsities=[0.5])
    assert vars(classifier) == before


def test_a_fitted_estimator_that_starts_warm_is_trained_afresh(blobs, make):
    fitted = make(warm_start=True, sparsity=0.5).fit(*blobs)
    expected = sparsity_path(make(), *blobs, sparsities=[0.3])
    same_path = sparsity_path(fitted, *blobs, sparsities=[0.3])
    for coef, same in zip(same_path.tensors[0].values(), expected.tensors[0].values(), strict=True):
        np.testing.assert_array_equal(coef, same)


@pytest.mark.parametrize("variant", [{}, {"granularity": "unit", "fine_tune_iter": 2, "fit_intercept": True}], ids=str)
def test_a_point_becomes_a_classifier(digits, make, tmp_path, variant):
    frame = pd.DataFrame(digits.X_train).add_prefix("pixel")
    for point in iter_sparsity_path(make(**variant), frame, digits.y_train, sparsities=[0.0, 0.5]):
        classifier = point.to_classifier()
        expected = make(**variant, sparsity=point.row["sparsity"]).fit(frame, digits.y_train)
        assert classifier.get_params() == expected.get_params()
        assert {name for name in vars(classifier) if name.endswith("_")} == {
            n for n in vars(expected) if n.endswith("_")
        }
        np.testing.assert_array_equal(classifier.predict_proba(frame), expected.predict_proba(frame))
        assert classifier.loss_curve_ == expected.loss_curve_
        classifier.save(tmp_path / "model")
        classifier.partial_fit(frame, digits.y_train)
        np.testing.assert_array_equal(
            classifier.predict_proba(frame), expected.partial_fit(frame, digits.y_train).predict_proba(frame)
        )


def test_a_sweep_goes_over_seeds_and_granularities(digits, make):
    data = Bunch(**digits._asdict())
    seeds = []
    points = sweep(make(max_iter=1), data, sparsities=[0.0, 0.5], seeds=(3, 4), on_seed=seeds.append)
    frame = to_frame([point.row for point in points])
    assert seeds == [3, 4]
    assert list(frame["seed"]) == [3] * 4 + [4] * 4
    assert list(frame["granularity"]) == ["weight", "weight", "unit", "unit"] * 2
    assert list(frame["sparsity"]) == [0.0, 0.5] * 4
    dense = frame[frame["sparsity"] == 0].groupby("seed")["accuracy"]
    assert (dense.nunique() == 1).all()
    classifier = make(max_iter=1, random_state=4, sparsity=0.5, granularity="unit").fit(*digits[:2])
    assert frame["accuracy"].iloc[-1] == classifier.score(digits.X_test, digits.y_test)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sparsities",
    [[0.5, 1.1], [-0.1], [], [float("nan")], ["much"], [None], [[0.1, 0.2]], 90, [0, 50, 90]],
    ids=str,
)
def test_bad_sparsities_are_refused_before_training(blobs, make, sparsities):
    events = []
    with pytest.raises(ValueError, match="sparsities"):
        sparsity_path(make(), *blobs, sparsities=sparsities, on_event=events.append)
    assert events == []


@pytest.mark.parametrize(
    ("X_test", "y_test"),
    [
        (np.zeros((3, 4)), None),
        (None, [0, 1]),
        (np.zeros((3, 4)), [0, 1]),
        (np.zeros((2, 5)), [0, 1]),
        (np.full((2, 4), np.nan), [0, 1]),
        (np.zeros((2, 4)), [0, 7]),
        (np.zeros((2, 4)), ["a", "b"]),
    ],
    ids=["no y", "no X", "lengths", "features", "nan", "new label", "kind of label"],
)
def test_bad_test_data_are_refused_before_training(blobs, make, X_test, y_test):
    events = []
    with pytest.raises(ValueError):
        sparsity_path(make(), *blobs, X_test=X_test, y_test=y_test, on_event=events.append)
    assert events == []


@pytest.mark.parametrize("variants", [[], [{"sparsity": 2}], [{}, {"criterion": "size"}], [{"depth": 3}]], ids=str)
def test_bad_variants_are_refused_before_training(blobs, make, variants):
    events = []
    with pytest.raises(ValueError):
        list(iter_sparsity_path(make(), *blobs, variants=variants, on_event=events.append))
    assert events == []


@pytest.mark.parametrize("variant", [{"max_iter": 1}, {"random_state": 7}, {"activation": "tanh"}], ids=str)
def test_a_variant_that_would_have_to_be_trained_is_refused(blobs, make, variant):
    """All variants come from one training; one that asks for another cannot be had, and must not seem so."""
    with pytest.raises(ValueError, match=next(iter(variant))):
        list(iter_sparsity_path(make(), *blobs, variants=[{}, variant]))


def test_emptied_layers_are_warned_of(blobs, make):
    with pytest.warns(PruningWarning, match="sparsity 1 removed every weight of layers 1, 2"):
        frame = sparsity_path(make(), *blobs, sparsities=[0, 1], X_test=blobs[0], y_test=blobs[1]).frame
    assert frame["accuracy"][1] == pytest.approx(1 / 3)
    assert np.isfinite(frame["loss"]).all()


# -- statistics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_that_of_scipy(n, confidence):
    values = np.random.default_rng(n).normal(size=n)
    mean, low, high = mean_interval(values, confidence)
    expected = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(expected)


def test_intervals_of_few_values():
    mean, low, high = mean_interval([0.7])
    assert mean == 0.7
    assert np.isnan([low, high]).all()
    assert np.isnan(mean_interval([])).all()
    assert np.isnan(mean_interval([np.nan])).all()
    assert mean_interval([0.5, np.nan, 0.7]) == mean_interval([0.5, 0.7])
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def made_up_frame() -> pd.DataFrame:
    rows = []
    for seed in (0, 1, 2):
        for granularity in ("weight", "unit"):
            for sparsity in (0.9, 0.0):
                accuracy = 0.95 - 0.1 * sparsity * (1 + (granularity == "unit")) + 0.01 * seed
                sparsities = [sparsity, sparsity, sparsity]
                figures = [accuracy, 0.1, 100, 2.0, 90, 3.0, 4, 5, 1000, 45]
                values = [seed, "magnitude", granularity, "layer", *sparsities, *figures]
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return to_frame(rows)


def test_a_summary_averages_over_seeds():
    frame = made_up_frame()
    summary = summarise(frame)
    assert "seed" not in summary
    assert list(summary["granularity"]) == ["weight", "weight", "unit", "unit"]  # in the order they came in
    assert list(summary["sparsity"]) == [0.9, 0.0, 0.9, 0.0]
    assert set(summary["seeds"]) == {3}
    for _, row in summary.iterrows():
        same = frame[(frame["granularity"] == row["granularity"]) & (frame["sparsity"] == row["sparsity"])]
        accuracies = same["accuracy"].to_numpy()
        interval = stats.t.interval(0.95, 2, loc=accuracies.mean(), scale=stats.sem(accuracies))
        assert row["accuracy"] == pytest.approx(accuracies.mean())
        assert (row["low"], row["high"]) == pytest.approx(interval)
        assert (row["nonzero"], row["compression"], row["macs"], row["speedup"]) == (100, 2.0, 90, 3.0)


def test_ways_that_vary_are_columns_and_are_kept_apart(blobs, make):
    variants = [{"schedule": "gradual"}, {"order": "largest"}, {"norm": np.inf}, {"norm": "inf", "order": "largest"}]
    points = list(iter_sparsity_path(make(max_iter=2), *blobs, sparsities=(0.0, 0.5), variants=variants))
    frame = to_frame([point.row for point in points])
    assert list(frame.columns) == [*COLUMNS, "schedule", "norm", "order"]
    assert list(frame["norm"][::2]) == ["2", "2", "inf", "inf"]
    assert list(frame["order"][::2]) == ["smallest", "largest", "smallest", "largest"]
    assert list(frame["schedule"][::2]) == ["gradual", *["one-shot"] * 3]
    summary = summarise(frame)
    assert len(summary) == 8
    assert set(summary["seeds"]) == {1}


def test_a_summary_of_one_seed_has_no_spread():
    frame = made_up_frame()
    summary = summarise(frame[frame["seed"] == 0])
    assert summary["accuracy"].notna().all()
    assert summary[["low", "high"]].isna().all(axis=None)
    assert set(summary["seeds"]) == {1}


def test_a_summary_of_nothing_is_empty():
    summary = summarise(to_frame([]))
    assert len(summary) == 0
    assert {"sparsity", "accuracy", "low", "high", "seeds"} <= set(summary.columns)


# -- the picture -----------------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_picture_has_a_line_for_each_way(pyplot):
    frame = made_up_frame()
    display = SparsityPathDisplay(frame).plot()
    assert [line.get_label() for line in display.lines_] == ["weight", "unit"]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["weight", "unit"]
    summary = summarise(frame)
    for line, granularity in zip(display.lines_, ("weight", "unit"), strict=True):
        way = summary[summary["granularity"] == granularity]
        np.testing.assert_array_equal(line.get_xdata(), way["sparsity"])
        np.testing.assert_allclose(line.get_ydata(), way["accuracy"])
    assert len(display.ax_.collections) == 2  # the bands
    assert display.figure_ is display.ax_.figure


def test_the_picture_of_one_seed_has_no_bands(pyplot, path):
    figure, ax = pyplot.subplots()
    display = SparsityPathDisplay(path.frame).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert len(ax.collections) == 0
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), path.frame["accuracy"])
    figure.canvas.draw()


def test_the_picture_from_an_estimator(pyplot, digits, make, path):
    display = SparsityPathDisplay.from_estimator(
        make(max_iter=3), *digits[:2], X_test=digits.X_test, y_test=digits.y_test, sparsities=SPARSITIES
    )
    pd.testing.assert_frame_equal(display.frame, path.frame)


def test_labels_tell_what_differs(pyplot):
    frame = made_up_frame()
    other = frame.assign(criterion="random")
    display = SparsityPathDisplay(pd.concat([frame, other])).plot()
    labels = [line.get_label() for line in display.lines_]
    assert labels == ["magnitude, weight", "magnitude, unit", "random, weight", "random, unit"]
