"""Prune units, save the network without pickle, and load it again."""

import tempfile
from pathlib import Path

import numpy as np
from prunelab.estimators import PrunedMLPClassifier, load_dataset

data = load_dataset("digits")
classifier = PrunedMLPClassifier((100,), sparsity=0.8, granularity="unit", fine_tune_iter=2, random_state=0)
classifier.fit(data.X_train, data.y_train)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.safetensors"
    classifier.save(path)
    loaded = PrunedMLPClassifier.load(path)
    assert np.array_equal(loaded.predict(data.X_test), classifier.predict(data.X_test))
    print(f"{path.stat().st_size:,} bytes, accuracy {loaded.score(data.X_test, data.y_test):.3f}")
