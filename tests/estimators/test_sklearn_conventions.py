"""scikit-learn's own checks, and its tools with a pruned classifier inside."""

from __future__ import annotations

from prunelab.estimators.mlp import PrunedMLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a weight of 2 is not the same as a sample that comes twice: mini-batches are then composed differently"
    ),
}


@parametrize_with_checks(
    [PrunedMLPClassifier()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES, xfail_strict=True
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
