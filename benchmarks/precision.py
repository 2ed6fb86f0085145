"""Does training in bfloat16 cost accuracy? The original experiment's network, with several seeds.

In both precisions, the same seed uses the same initial weights and the same order of samples, so the
differences are paired by seed. `--repeats` is the number of seeds.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from statistics import mean, stdev
from typing import TYPE_CHECKING

from common import arguments, chosen_precision, interleave, load, print_goal, print_machine, print_table, spread, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.utils import Bunch

PRECISIONS = ("float32", "bfloat16")
EPOCHS = 3


def main() -> None:
    args = arguments(__doc__, repeats=5).parse_args()
    data = load(args, "digits" if args.quick else "mnist")
    print_machine()
    results = interleave({name: partial(fit, name, count(), data) for name in PRECISIONS}, args.repeats)

    scores = {name: [100 * score for _, score in runs] for name, runs in results.items()}
    seconds = {name: [seconds for seconds, _ in runs] for name, runs in results.items()}
    print_table(
        ["median (min, max)", "seconds per fit", "test accuracy in %"],
        [[name, spread(seconds[name]), spread(scores[name])] for name in PRECISIONS],
    )
    differences = [b - a for a, b in zip(scores["float32"], scores["bfloat16"], strict=True)]
    error = f", standard error {stdev(differences) / len(differences) ** 0.5:.2f}" if len(differences) > 1 else ""
    print(f"Means: float32 {mean(scores['float32']):.2f} %, bfloat16 {mean(scores['bfloat16']):.2f} %")
    print(f"bfloat16 minus float32, paired by seed: {spread(differences)}{error}")
    print(f'precision="auto" selects {chosen_precision(data, "auto")} for these data on this machine')
    print_goal(
        f"bfloat16 differs from float32 by {mean(differences):+.2f} points on average over {len(differences)} seeds",
        abs(mean(differences)),
        quick=args.quick,
        at_most=0.3,
    )


def fit(precision: str, seeds: Iterator[int], data: Bunch) -> tuple[float, float]:
    """Train with the next seed; return the seconds and the accuracy."""
    from prunelab.estimators import PrunedMLPClassifier

    classifier = PrunedMLPClassifier(max_iter=EPOCHS, precision=precision, random_state=next(seeds))
    seconds, _ = timed(lambda: classifier.fit(data.X_train, data.y_train))
    return seconds, float(classifier.score(data.X_test, data.y_test))


if __name__ == "__main__":
    main()
