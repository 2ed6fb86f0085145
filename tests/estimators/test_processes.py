"""Forked processes compute, and memory that runs out is reported as such."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from prunelab.estimators import PrunedMLPClassifier, sparsity_path
from prunelab.estimators.backend import OUT_OF_MEMORY, DeviceError, is_out_of_memory, memory_errors, resolve_device
from prunelab.estimators.inference import Evaluator
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.networks.mlp import MLPNetwork

#: Trains with two threads, on products that are large enough to be shared among them; then forks in three ways.
FORKING = """
import os
import joblib
import numpy as np
import torch
from prunelab.estimators import PrunedMLPClassifier, PrunedMLPClassifierCV
from sklearn.model_selection import GridSearchCV

torch.set_num_threads(2)
rng = np.random.default_rng(0)
X, y = rng.normal(size=(600, 300)).astype(np.float32), np.arange(600) % 3
classifier = PrunedMLPClassifier((300,), max_iter=1, batch_size=300, random_state=0, device="cpu").fit(X, y)
expected = classifier.predict_proba(X)

child = os.fork()
if child == 0:
    same = np.allclose(classifier.predict_proba(X), expected, atol=1e-5)
    classifier.fit(X, y)
    os._exit(0 if same else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

grid = GridSearchCV(classifier, {"sparsity": [0.0, 0.5]}, cv=2, n_jobs=2, error_score="raise")
search = PrunedMLPClassifierCV(classifier, sparsities=[0.0, 0.5], cv=2, n_jobs=2)
with joblib.parallel_backend("multiprocessing"):
    grid.fit(X, y)
    forked = search.fit(X, y).scores_
assert np.allclose(forked, search.set_params(n_jobs=1).fit(X, y).scores_, atol=0.02)
assert np.allclose(forked.mean(axis=1), grid.cv_results_["mean_test_score"])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_is_forked_after_a_training_computes():
    """Also in joblib's backend "multiprocessing"."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_gpu_that_a_fork_has_lost_is_refused_or_left_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(DeviceError, match="device='cuda' cannot be used in a process forked"):
        resolve_device("cuda")
    assert resolve_device("auto").type != "cuda"


# -- memory ----------------------------------------------------------------------------------------------

#: Errors of torch and NumPy when memory runs out.
ERRORS = [
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
    MemoryError("Unable to allocate 37.3 GiB for an array with shape (100000, 100000)"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_memory_that_runs_out_is_one_sentence_everywhere(blobs, make, monkeypatch, error):
    fitted = make().fit(*blobs)
    interactive = InteractivePruning(fitted, *blobs, *blobs)
    cut = interactive.prune(0.5)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("prunelab.estimators.fitting.train", fail)
    monkeypatch.setattr(Evaluator, "_blocks", fail)
    for refused in (
        lambda: make().fit(*blobs),
        lambda: make().partial_fit(*blobs),
        lambda: sparsity_path(make(), *blobs, sparsities=[0.5]),
        lambda: fitted.predict(blobs[0]),
        lambda: InteractivePruning(fitted, *blobs, *blobs),
        lambda: interactive.scores(cut),
        lambda: interactive.estimate(cut),
    ):
        with pytest.raises(MemoryError) as caught:
            refused()
        assert str(caught.value) == OUT_OF_MEMORY


def test_other_errors_stay_what_they_are():
    for error in (RuntimeError("shapes cannot be multiplied"), ValueError("out of memory"), KeyError("x")):
        assert not is_out_of_memory(error)
        with pytest.raises(type(error)) as caught, memory_errors():
            raise error
        assert caught.value is error


@pytest.mark.parametrize("sizes", [10**9 + 1, (10**19,), (4 * 10**18, 5)], ids=str)
def test_widths_beyond_all_machines_are_refused(blobs, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes must be whole numbers from 1 to 1,000,000,000"):
        PrunedMLPClassifier(sizes).fit(*blobs)


def test_a_fit_for_which_memory_does_not_suffice_leaves_the_classifier_as_it_was(blobs, make, monkeypatch):
    classifier = make(max_iter=1).fit(*blobs)
    before = classifier.predict_proba(blobs[0])
    monkeypatch.setattr(MLPNetwork, "initial", lambda *_: np.empty((2**30, 2**20)))
    with pytest.raises(MemoryError, match=OUT_OF_MEMORY):
        classifier.set_params(hidden_layer_sizes=(7,)).fit(*blobs)
    np.testing.assert_array_equal(classifier.predict_proba(blobs[0]), before)
