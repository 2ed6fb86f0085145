"""Differences of curves at equal sparsity."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prunelab.estimators.parameters import DEFAULTS, WAYS
from prunelab.estimators.studies.paired import confidence_interval
from prunelab.tui.runs.compare import (
    Curve,
    Difference,
    curves_of,
    differences,
    drawn,
    named,
    nearest,
    opponents,
    varying_ways,
)
from prunelab.tui.runs.spec import RunSpec

WAY = {name: DEFAULTS[name] for name in WAYS}


def row(sparsity: float, accuracy: float | None, seed: int = 0, **ways: Any) -> dict[str, Any]:
    figures = {"sparsity": sparsity, "accuracy": accuracy, "loss": 1.0, "compression": 1 / (1 - 0.9 * sparsity)}
    return {**WAY, **figures, "speedup": "inf" if sparsity == 1 else 1 / (1 - sparsity), "seed": seed, **ways}


def curve(run: str, points: dict[tuple[float, int], float | None], **ways: Any) -> Curve:
    rows = [row(sparsity, accuracy, seed, **ways) for (sparsity, seed), accuracy in points.items()]
    return Curve(run, run, {**WAY, **ways}, rows)


def test_a_run_has_a_curve_for_every_way_even_without_points():
    spec = RunSpec(ways={"granularity": ("weight", "unit"), "norm": (1, "inf")})
    rows = [row(0.5, 0.9, norm="inf"), row(0.5, 0.8, granularity="unit", norm=1), row(0.5, 0.1, criterion="random")]
    curves = curves_of("r", "a run", spec, rows)
    assert [(c.ways["granularity"], c.ways["norm"], len(c.rows)) for c in curves] == [
        ("weight", 1, 0),
        ("weight", "inf", 1),
        ("unit", 1, 1),
        ("unit", "inf", 0),
    ]
    assert len({c.key for c in curves}) == 4


def test_names_tell_curves_apart_and_say_no_more_than_that():
    weight, unit = curve("a", {}), curve("a", {}, granularity="unit")
    assert [c.name for c in named([weight, unit])] == [("weight",), ("unit",)]
    assert [c.name for c in named([weight])] == [("weight",)]
    assert [c.name for c in named([weight, curve("b", {})])] == [("a",), ("b",)]
    both = named([weight, unit, curve("b", {}, scope="global")])
    assert [c.name for c in both] == [("a", "weight", "layer"), ("a", "unit", "layer"), ("b", "weight", "global")]


def test_runs_of_the_same_name_are_told_apart_by_their_ids():
    first, second = Curve("x-1111", "mine", WAY), Curve("x-2222", "mine", WAY)
    assert [c.name for c in named([first, second])] == [("mine (1111)",), ("mine (2222)",)]


def test_what_varies():
    curves = [curve("a", {}), curve("b", {}, granularity="unit"), curve("c", {}, granularity="unit")]
    assert varying_ways(curves) == {"granularity": ["weight", "unit"]}


def test_differences_of_common_seeds_are_taken_seed_by_seed():
    base = curve("a", {(0.5, 0): 0.90, (0.5, 1): 0.80, (0.5, 2): 0.85, (0.9, 0): 0.5, (0.9, 1): 0.5})
    other = curve("b", {(0.5, 0): 0.91, (0.5, 1): 0.83, (0.5, 2): 0.87, (0.5, 7): 0.10, (0.9, 0): 0.7, (0.9, 1): 0.7})
    other.rows.extend(curve("b", {(0.95, 0): 0.4}).rows)
    found = differences(other, base)
    low, high = confidence_interval([0.01, 0.03, 0.02])
    assert found[0.5].mean == pytest.approx((0.91 + 0.83 + 0.87 + 0.10) / 4)
    assert found[0.5].change == pytest.approx(0.02)
    assert found[0.5].half == pytest.approx((high - low) / 2)
    assert found[0.9].change == pytest.approx(0.2)
    assert found[0.9].half is None  # two seeds allow no interval
    assert found[0.95] == Difference(0.4)  # the base has no such point


def test_without_a_common_seed_it_is_the_difference_of_the_means():
    base, other = curve("a", {(0.5, 0): 0.9, (0.5, 1): 0.8}), curve("b", {(0.5, 2): 0.7, (0.5, 3): 0.9})
    [found] = differences(other, base).values()
    assert found.change == pytest.approx(-0.05)
    assert found.half is None


def test_equal_seeds_give_no_difference_and_an_interval_of_no_width():
    base = curve("a", {(0.5, 0): 0.9, (0.5, 1): 0.8, (0.5, 2): 0.7})
    [found] = differences(base, base).values()
    assert (found.change, found.half) == (0, 0)


def test_points_without_accuracy_are_left_out():
    broken = curve("a", {(0.5, 0): None, (0.9, 0): 0.5, (0.9, 1): None})
    assert list(differences(broken, None)) == [0.9]
    assert drawn(broken)[0][:2] == (90, 50)
    assert len(drawn(broken)) == 1


def test_opponents_like_with_like():
    a, b = [curve("a", {}), curve("a", {}, granularity="unit")], [curve("b", {}), curve("b", {}, granularity="unit")]
    found = opponents([*a, *b], a[0], alone=False)
    assert found == {a[0].key: None, a[1].key: a[0], b[0].key: a[0], b[1].key: a[1]}
    found = opponents([*a, *b], b[1], alone=False)
    assert found == {a[0].key: b[0], a[1].key: b[1], b[0].key: None, b[1].key: b[0]}


def test_opponents_with_one_curve():
    curves = [curve("a", {}), curve("a", {}, granularity="unit"), curve("b", {})]
    found = opponents(curves, curves[1], alone=True)
    assert found == {curves[0].key: curves[1], curves[1].key: None, curves[2].key: curves[1]}


def test_the_most_similar_way_of_pruning():
    others = [curve("b", {}, granularity="unit"), curve("b", {}, scope="global"), curve("b", {}, order="largest")]
    assert nearest(curve("a", {}, scope="global"), others) is others[1]
    assert nearest(curve("a", {}, granularity="unit", scope="global"), others) is others[0]
    assert nearest(curve("a", {}), []) is None


def test_axes():
    one = curve("a", {(0.0, 0): 0.9, (0.5, 0): 0.8, (1.0, 0): 0.1})
    assert [point.x for point in drawn(one)] == pytest.approx([0, 50, 100])
    assert [point.x for point in drawn(one, axis="compression")] == pytest.approx([0, 45, 90])
    assert [point.x for point in drawn(one, axis="speedup")] == pytest.approx([0, 50, 100])
    assert [point.mean for point in drawn(one, "loss")] == [1, 1, 1]


def test_the_interval_of_several_seeds_is_drawn():
    points = drawn(curve("a", {(0.5, 0): 0.8, (0.5, 1): 0.9, (0.9, 0): 0.5}))
    assert points[0].low < 85 < points[0].high
    assert math.isnan(points[1].low)
