"""The sparsity chosen by cross-validation: the scores of a grid search, from one training a fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators import PrunedClassifierCV, PrunedCNNClassifier, PrunedMLPClassifier, PrunedMLPClassifierCV
from prunelab.estimators.selection import _choose
from sklearn.base import clone
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

SPARSITIES = [0.0, 0.3, 0.6, 0.9]


def assert_scores_of_a_grid_search(chosen, search):
    """The same scores; the sparser of equals is chosen, where the grid search takes the first."""
    folds = [name for name in search.cv_results_ if name.startswith("split") and name.endswith("_test_score")]
    np.testing.assert_array_equal(chosen.scores_.T, [search.cv_results_[name] for name in folds])
    assert chosen.best_score_ == pytest.approx(search.best_score_)
    assert chosen.scores_[chosen.sparsities_ == chosen.sparsity_].mean() == pytest.approx(search.best_score_)


SCORINGS = {
    "accuracy by default": None,
    "a label metric": "balanced_accuracy",
    "probabilities": "neg_log_loss",
    "an area": "roc_auc_ovr",
    "a callable": make_scorer(f1_score, average="macro"),
    "a function": lambda estimator, X, y: float((estimator.predict(X) == y)[y % 2 == 0].mean()),
}


@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS.keys())
def test_scores_and_groups_are_those_of_a_grid_search(digits, make, scoring):
    X, y = digits.X_train[:240], digits.y_train[:240]
    groups = np.arange(240) // 8 % 5
    estimator = make(max_iter=2, granularity="unit")
    chosen = PrunedClassifierCV(estimator, sparsities=SPARSITIES, cv=GroupKFold(3), scoring=scoring)
    chosen.fit(X, y, groups=groups)
    search = GridSearchCV(estimator, {"sparsity": SPARSITIES}, cv=GroupKFold(3), scoring=scoring, error_score="raise")
    search.fit(X, y, groups=groups)
    assert_scores_of_a_grid_search(chosen, search)
    assert chosen.score(X, y) == search.scorer_(chosen.estimator_, X, y)
    assert chosen.scores_.std() > 0


def test_groups_decide_the_folds(blobs, make):
    X, y = blobs
    groups = np.repeat(["a", "b", "c"], 30)
    chosen = PrunedClassifierCV(make(), sparsities=[0.5], cv=LeaveOneGroupOut()).fit(X, y, groups=groups)
    for fold, name in enumerate("abc"):
        inside = groups != name
        expected = make(sparsity=0.5).fit(X[inside], y[inside]).score(X[~inside], y[~inside])
        assert chosen.scores_[0, fold] == expected


@pytest.mark.parametrize("groups", [None, np.zeros(10)], ids=["none", "too few"])
def test_missing_groups_are_refused(blobs, make, groups):
    search = PrunedClassifierCV(make(), sparsities=[0.5], cv=GroupKFold(3))
    with pytest.raises(ValueError, match=r"groups|inconsistent numbers of samples"):
        search.fit(*blobs, groups=groups)


@pytest.mark.parametrize("as_images", [True, False])
def test_convolutional_networks(digits, as_images):
    X, y = digits.X_train[:200], digits.y_train[:200]
    X = X.reshape(-1, 4, 16) if as_images else X
    shape = None if as_images else (4, 16)  # not the square that rows of 64 stand for otherwise
    estimator = PrunedCNNClassifier(
        (6,), kernel_size=3, hidden_layer_sizes=(8,), sample_shape=shape, max_iter=2, random_state=0, device="cpu"
    )
    sparsities = [0.0, 0.5, 0.9]
    chosen = PrunedClassifierCV(estimator, sparsities=sparsities, cv=2, scoring="neg_log_loss").fit(X, y)
    search = GridSearchCV(estimator, {"sparsity": sparsities}, cv=2, scoring="neg_log_loss", error_score="raise")
    assert_scores_of_a_grid_search(chosen, search.fit(X, y))
    assert chosen.estimator_.network_.sample_shape == (1, 4, 16)
    np.testing.assert_array_equal(chosen.predict_proba(X), chosen.estimator_.predict_proba(X))


def test_each_fold_trains_once(blobs, make, monkeypatch):
    from prunelab.estimators import engine

    trainings = []
    train_dense = engine.train_dense
    monkeypatch.setattr(engine, "train_dense", lambda *args: trainings.append(1) or train_dense(*args))
    PrunedClassifierCV(make(), sparsities=SPARSITIES, cv=3).fit(*blobs)
    assert len(trainings) == 3 + 1  # and once on all the data


@pytest.mark.parametrize(
    ("scoring", "match"),
    [
        (["accuracy", "f1"], "scoring must be None, one name"),
        ({"a": "accuracy"}, "scoring must be None, one name"),
        ("acuracy", "scoring must be None, one name .* got 'acuracy'"),
        (lambda estimator, X, y: {"a": 1.0}, "scoring must give one number"),
        (lambda estimator, X, y: float("nan"), "scoring must give one number, got nan at sparsity 0.5"),
    ],
    ids=["a list", "a dict", "unknown", "several", "not a number"],
)
def test_what_is_not_one_metric_is_refused(blobs, make, scoring, match):
    with pytest.raises(ValueError, match=match):
        PrunedClassifierCV(make(), sparsities=[0.5], cv=2, scoring=scoring).fit(*blobs)


def test_other_estimators_are_refused(blobs, make):
    with pytest.raises(ValueError, match="estimator must be a pruned classifier"):
        PrunedClassifierCV(make_pipeline(StandardScaler(), make()), sparsities=[0.5]).fit(*blobs)


def test_the_earlier_name_is_the_same_class():
    assert PrunedMLPClassifierCV is PrunedClassifierCV
    assert PrunedClassifierCV().estimator is None


def test_a_search_inside_of_a_search(blobs, make):
    X, y = blobs
    search = PrunedClassifierCV(make(), sparsities=[0.0, 0.9], cv=2, scoring="neg_log_loss")
    scores = cross_val_score(search, X, y, cv=2, error_score="raise")
    assert (scores < 0).all()  # of the same metric


def test_cross_validation_agrees_with_a_grid_search(digits, make):
    X, y = digits.X_train[:400], digits.y_train[:400]
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    chosen = PrunedMLPClassifierCV(make(max_iter=3), sparsities=SPARSITIES, cv=folds).fit(X, y)
    search = GridSearchCV(make(max_iter=3), {"sparsity": SPARSITIES}, cv=folds, error_score="raise").fit(X, y)
    assert chosen.scores_.shape == (4, 3)
    np.testing.assert_array_equal(chosen.sparsities_, SPARSITIES)
    for fold in range(3):
        np.testing.assert_array_equal(chosen.scores_[:, fold], search.cv_results_[f"split{fold}_test_score"])
    assert chosen.best_score_ == pytest.approx(search.best_score_)
    if (chosen.scores_.mean(axis=1) == search.best_score_).sum() == 1:
        assert chosen.sparsity_ == search.best_params_["sparsity"]
    fitted = make(max_iter=3, sparsity=chosen.sparsity_).fit(X, y)
    for coef, same in zip(chosen.estimator_.coefs_, fitted.coefs_, strict=True):
        np.testing.assert_array_equal(coef, same)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        np.testing.assert_array_equal(getattr(chosen, method)(X), getattr(fitted, method)(X))
    assert chosen.score(X, y) == fitted.score(X, y)
    np.testing.assert_array_equal(chosen.classes_, np.arange(10))


def test_two_processes_find_the_same(digits, make):
    X, y = digits.X_train[:300], digits.y_train[:300]
    one, two = (
        PrunedMLPClassifierCV(make(max_iter=2), sparsities=[0, 0.5], cv=3, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.scores_, two.scores_)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize(
    ("scores", "best", "sparing"),
    [
        # means .90 .85 .84; the best row's standard error is .1 / sqrt(3) = .0577
        ([[0.8, 0.9, 1.0], [0.85, 0.85, 0.85], [0.84, 0.84, 0.84]], 0, 1),
        # the best row does not vary: only equals will do
        ([[0.9, 0.9, 0.9], [0.89, 0.9, 0.9], [0.9, 0.9, 0.9]], 2, 2),
        # means .5 .9 .85; the standard error, .01 / sqrt(3), is too small for the last
        ([[0.5, 0.5, 0.5], [0.89, 0.9, 0.91], [0.85, 0.85, 0.85]], 1, 1),
        # no standard error from one fold
        ([[0.9], [0.8], [0.7]], 0, 0),
    ],
)
def test_the_rules(scores, best, sparing):
    scores, sparsities = np.array(scores), np.array([0.0, 0.5, 0.9])
    assert _choose(scores, sparsities, "best") == best
    assert _choose(scores, sparsities, "one-standard-error") == sparing
    backwards = scores[::-1], sparsities[::-1]  # the order in which they are given does not matter
    assert _choose(*backwards, "best") == 2 - best
    assert _choose(*backwards, "one-standard-error") == 2 - sparing


@pytest.mark.parametrize("folds", [[0, 1, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1]])
def test_of_equals_the_sparser_is_chosen(folds):
    """Also when the same accuracies came from other folds, and rounding makes their means differ."""
    first = np.array([0.1, 0.2, 0.3])
    assert _choose(np.array([first, first[folds]]), np.array([0.0, 0.5]), "best") == 1


def test_the_rule_is_followed(digits, make):
    X, y = digits.X_train[:300], digits.y_train[:300]
    parameters = {"sparsities": [0.0, 0.2, 0.4, 0.6], "cv": 3}
    for rule in ("best", "one-standard-error"):
        chosen = PrunedMLPClassifierCV(make(max_iter=8), rule=rule, **parameters).fit(X, y)
        means = chosen.scores_.mean(axis=1)
        bar = means.max()
        if rule == "one-standard-error":
            bar -= chosen.scores_[means.argmax()].std(ddof=1) / 3**0.5
        good = chosen.sparsities_[means >= bar - 1e-12]
        assert chosen.sparsity_ == good.max() == chosen.estimator_.sparsity
        assert chosen.best_score_ == pytest.approx(means[chosen.sparsities_ == chosen.sparsity_][0])


def test_folds_are_those_of_scikit_learn(blobs, make):
    X, y = blobs
    chosen = PrunedMLPClassifierCV(make(), sparsities=[0.5]).fit(X, y)
    assert chosen.scores_.shape == (1, 5)
    for train, test in [next(iter(StratifiedKFold(5).split(X, y)))]:
        expected = make(sparsity=0.5).fit(X[train], y[train]).score(X[test], y[test])
        assert chosen.scores_[0, 0] == expected
    assert PrunedMLPClassifierCV(make(), sparsities=[0.5], cv=KFold(4)).fit(X, y).scores_.shape == (1, 4)


@pytest.mark.parametrize("sparsities", [[0.0, 0.5], [0.3]])
def test_a_class_that_a_fold_does_not_train_counts_as_wrong(blobs, make, sparsities):
    """As in a grid search: in the first fold a rare class is tested, and in the second only a class of its own."""
    X, y = blobs
    y = np.where(np.arange(90) == 4, 3, y)
    everything = np.arange(90)
    folds = [
        (np.setdiff1d(everything, [1, 4, 7]), np.array([1, 4, 7])),
        (everything[y < 2], everything[y >= 2]),
        (everything[:60], everything[60:]),
    ]
    chosen = PrunedMLPClassifierCV(make(), sparsities=sparsities, cv=folds).fit(X, y)
    search = GridSearchCV(make(), {"sparsity": sparsities}, cv=folds, error_score="raise").fit(X, y)
    for fold in range(3):
        np.testing.assert_array_equal(chosen.scores_[:, fold], search.cv_results_[f"split{fold}_test_score"])
    assert (chosen.scores_[:, 1] == 0).all()
    assert chosen.scores_[:, 0].max() <= 2 / 3
    np.testing.assert_array_equal(chosen.classes_, [0, 1, 2, 3])


def test_a_fold_with_a_single_class_to_train_on_is_refused(blobs, make):
    X, y = blobs
    folds = [(np.arange(30), np.arange(30, 90)), (np.flatnonzero(y == 1), np.flatnonzero(y == 2))]
    with pytest.raises(ValueError, match="a single class, 1, to train on in fold 2"):
        PrunedMLPClassifierCV(make(), sparsities=[0.5], cv=folds).fit(X, y)


def test_sample_weights_reach_the_folds(blobs, make):
    X, y = blobs
    weights = np.random.default_rng(0).exponential(size=90) ** 3
    folds = list(KFold(3).split(X))
    chosen = PrunedMLPClassifierCV(make(max_iter=2), sparsities=[0.5], cv=folds).fit(X, y, weights.tolist())
    for (train, test), score in zip(folds, chosen.scores_[0], strict=True):
        classifier = make(max_iter=2, sparsity=0.5).fit(X[train], y[train], weights[train])
        assert score == classifier.score(X[test], y[test])
    whole = make(max_iter=2, sparsity=0.5).fit(X, y, weights)
    np.testing.assert_array_equal(chosen.predict_proba(X), whole.predict_proba(X))
    unweighted = PrunedMLPClassifierCV(make(max_iter=2), sparsities=[0.5], cv=folds).fit(X, y)
    assert (chosen.scores_ != unweighted.scores_).any()


def test_labels_and_column_names(blobs, make):
    X, y = blobs
    frame = pd.DataFrame(X, columns=list("abcd"))
    chosen = PrunedMLPClassifierCV(make(max_iter=20), sparsities=[0.0, 0.3], cv=3).fit(frame, np.array(list("xyz"))[y])
    assert set(chosen.predict(frame)) == set("xyz")
    np.testing.assert_array_equal(chosen.feature_names_in_, list("abcd"))
    assert chosen.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        chosen.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"rule": "worst"}, "rule must be one of"),
        ({"sparsities": [2]}, "sparsities"),
        ({"sparsities": []}, "sparsities"),
        ({"estimator": PrunedMLPClassifier(max_iter=0)}, "max_iter"),
        ({"cv": 1}, "(?i)fold"),
    ],
)
def test_bad_parameters_of_the_search_are_refused(blobs, make, parameters, match):
    with pytest.raises(ValueError, match=match):
        PrunedMLPClassifierCV(**{"estimator": make(), **parameters}).fit(*blobs)


def test_the_searched_estimator_is_not_changed(blobs, make):
    estimator = make()
    before = dict(vars(estimator))
    search = PrunedMLPClassifierCV(estimator, sparsities=[0.5], cv=2).fit(*blobs)
    assert vars(estimator) == before
    assert search.estimator is estimator
    assert not hasattr(clone(search), "estimator_")
    assert clone(search).get_params()["estimator__max_iter"] == 5


CHECKED = PrunedMLPClassifierCV(
    PrunedMLPClassifier((16,), learning_rate_init=0.01, random_state=0, device="cpu"), sparsities=(0.0, 0.5), cv=3
)


@parametrize_with_checks(
    [CHECKED],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": "weighing and repeating differ in float32's last digits"
    },
    xfail_strict=False,  # on some machines they happen not to
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_a_fit_that_fails_leaves_the_search_as_it_was(blobs, make):
    X, y = blobs
    search = PrunedClassifierCV(make(), sparsities=[0.3], cv=2).fit(X, y)
    before = dict(vars(search))
    search.set_params(sparsities=[0.9])
    with pytest.raises(ValueError, match="inconsistent"):
        search.fit(X[:, :2], y[:10])
    assert {**vars(search), "sparsities": [0.3]} == before
