"""Choose sparsity and criterion by cross-validation; with `memory=` each fold is trained once, not per candidate."""

import tempfile

from prunelab.estimators import PrunedMLPClassifier, load_dataset
from sklearn.model_selection import GridSearchCV

data = load_dataset("digits")
with tempfile.TemporaryDirectory() as cache:
    search = GridSearchCV(
        PrunedMLPClassifier((64,), max_iter=8, random_state=0, memory=cache),
        {"sparsity": [0.0, 0.5, 0.8, 0.9], "criterion": ["magnitude", "random"]},
        cv=3,
    ).fit(data.X_train, data.y_train)

for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"{parameters['criterion']:>9} at {parameters['sparsity']:.0%}: {score:.3f}")
print(f"chosen: {search.best_params_}, accuracy on the test data {search.score(data.X_test, data.y_test):.3f}")
