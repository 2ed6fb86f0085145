"""Train once, prune to many sparsities, and draw accuracy against sparsity in the terminal."""

import sys

from prunelab.estimators import PrunedMLPClassifier, knee, load_dataset, sparsity_path
from prunelab.tui.drawing.plotting import plot_accuracy_curves

data = load_dataset("digits")
classifier = PrunedMLPClassifier((300, 100), max_iter=8, random_state=0)

rows = []
for granularity in ("weight", "unit"):
    classifier.set_params(granularity=granularity)
    path = sparsity_path(classifier, data.X_train, data.y_train, X_test=data.X_test, y_test=data.y_test)
    rows += path.frame.to_dict("records")
    where = knee(path.frame["sparsity"], path.frame["accuracy"])
    print(f"{granularity}: two points of accuracy are lost at {where:.0%} sparsity")

print(plot_accuracy_curves(rows, width=80, height=20, colour=sys.stdout.isatty()))
