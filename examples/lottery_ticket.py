"""Find a winning ticket (Frankle & Carbin 2019) and compare it with the same mask on other initial weights."""

from prunelab.estimators import PrunedMLPClassifier, load_dataset

data = load_dataset("digits")
parameters = {
    "hidden_layer_sizes": (300, 100),
    "init": "glorot",
    "sparsity": 0.95,
    "prune_output": "half",
    "n_rounds": 5,
    "max_iter": 10,
    "random_state": 0,
}
for name, schedule in (("ticket", "rewind"), ("other initial weights", "rewind-reinit")):
    classifier = PrunedMLPClassifier(**parameters, schedule=schedule).fit(data.X_train, data.y_train)
    print(f"{name}: {classifier.score(data.X_test, data.y_test):.3f} with {classifier.n_nonzero_:,} weights")
