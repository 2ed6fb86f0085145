"""The cost of scikit-learn's GridSearchCV over 10 sparsities, with `memory=` and without.

With memory, each of the 3 folds should be trained once: the search is compared with 3 dense fits plus the
scoring of 10 pruned networks per fold, which is the minimum. (The pruned networks are created outside the
timed sections.) Every round uses a new memory folder.

Without memory, the search trains 30 times, as does the plain loop that it is compared with. That shows
whether the estimator adds overhead to scikit-learn's, for which 6,000 images suffice.
"""

from __future__ import annotations

import copy
import tempfile
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from common import arguments, first, interleave, load, print_goal, print_machine, print_table, spread, timed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

if TYPE_CHECKING:
    from collections.abc import Callable

    from prunelab.estimators import PrunedMLPClassifier
    from sklearn.utils import Bunch

    Timing = tuple[float, np.ndarray]

SPARSITIES = [0.0, 0.25, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99]
N_FOLDS = 3


def main() -> None:
    from prunelab.estimators import PrunedMLPClassifier

    args = arguments(__doc__, repeats=3).parse_args()
    data = load(args, "digits" if args.quick else "mnist")
    print_machine()
    classifier = PrunedMLPClassifier(max_iter=1 if args.quick else 3, random_state=0)
    few = first(data, 600 if args.quick else 6000, 0)

    compare(
        f"With memory, {len(data.y_train)} images",
        {
            "GridSearchCV": lambda: search_with_memory(classifier, data),
            "3 fits, 30 scores": lambda: fits_and_scores(classifier, data),
        },
        "GridSearchCV with memory takes {:.2f} times as long as 3 dense fits and the scoring",
        goal=1.4,
        args=args,
    )
    compare(
        f"Without memory, {len(few.y_train)} images",
        {
            "GridSearchCV": lambda: search(classifier, few),
            "plain loop": lambda: plain_loop(classifier, few),
        },
        "GridSearchCV without memory takes {:.2f} times as long as a plain loop",
        goal=1.05,
        args=args,
    )


def compare(title: str, contestants: dict[str, Callable[[], Timing]], sentence: str, *, goal: float, args) -> None:
    """Time both, check that their results agree, and print the ratio of their medians."""
    results = interleave(contestants, args.repeats)
    seconds = {name: [seconds for seconds, _ in runs] for name, runs in results.items()}
    scores = {name: runs[0][1] for name, runs in results.items()}
    print(f"{title}; mean accuracy in % at sparsity:")
    print_table(
        ["", "seconds", *(f"{sparsity:g}" for sparsity in SPARSITIES)],
        [[name, spread(seconds[name]), *(f"{100 * score:.2f}" for score in scores[name])] for name in results],
    )
    a, b = contestants
    ratio = median(seconds[a]) / median(seconds[b])
    print_goal(sentence.format(ratio), ratio, quick=args.quick, at_most=goal)
    if not np.array_equal(scores[a], scores[b]):
        print("Warning: the two found different accuracies.")
    print(flush=True)


def search(classifier: PrunedMLPClassifier, data: Bunch) -> Timing:
    grid = GridSearchCV(classifier, {"sparsity": SPARSITIES}, cv=N_FOLDS, refit=False)
    seconds, _ = timed(lambda: grid.fit(data.X_train, data.y_train))
    return seconds, grid.cv_results_["mean_test_score"]


def search_with_memory(classifier: PrunedMLPClassifier, data: Bunch) -> Timing:
    with tempfile.TemporaryDirectory() as folder:
        remembering: PrunedMLPClassifier = clone(classifier)
        remembering.set_params(memory=folder)
        return search(remembering, data)


def fits_and_scores(classifier: PrunedMLPClassifier, data: Bunch) -> Timing:
    """The time of the dense fits and of the scoring only."""
    total = 0.0
    scores = np.empty((len(SPARSITIES), N_FOLDS))
    for fold, (train, test) in enumerate(folds(data)):
        X_train, y_train = data.X_train[train], data.y_train[train]
        X_test, y_test = data.X_train[test], data.y_train[test]
        dense = clone(classifier)
        seconds, _ = timed(lambda: dense.fit(X_train, y_train))  # noqa: B023 (called immediately)
        total += seconds
        for row, sparsity in enumerate(SPARSITIES):
            pruned = pruned_by_hand(dense, sparsity)
            seconds, scores[row, fold] = timed(lambda: pruned.score(X_test, y_test))  # noqa: B023
            total += seconds
    return total, scores.mean(axis=1)


def pruned_by_hand(dense: PrunedMLPClassifier, sparsity: float) -> PrunedMLPClassifier:
    """A copy without the smallest weights of each hidden layer; the output layer is not pruned."""
    pruned = copy.deepcopy(dense)
    for coef in pruned.coefs_[:-1]:
        smallest = np.abs(coef).argsort(axis=None, kind="stable")[: round(sparsity * coef.size)]
        coef.flat[smallest] = 0
    return pruned


def plain_loop(classifier: PrunedMLPClassifier, data: Bunch) -> Timing:
    def loop() -> np.ndarray:
        scores = np.empty((len(SPARSITIES), N_FOLDS))
        for row, sparsity in enumerate(SPARSITIES):
            for fold, (train, test) in enumerate(folds(data)):
                pruned = clone(classifier).set_params(sparsity=sparsity)
                pruned.fit(data.X_train[train], data.y_train[train])
                scores[row, fold] = pruned.score(data.X_train[test], data.y_train[test])
        return scores.mean(axis=1)

    return timed(loop)


def folds(data: Bunch):
    """The folds that GridSearchCV uses."""
    return StratifiedKFold(N_FOLDS).split(data.X_train, data.y_train)


if __name__ == "__main__":
    main()
