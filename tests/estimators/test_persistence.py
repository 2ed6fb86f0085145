"""Model files: what is saved comes back bit for bit, and anything else is refused in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prunelab.estimators import ModelFileError, PrunedMLPClassifier
from prunelab.estimators.checkpoints import CheckpointError, load_checkpoint
from prunelab.estimators.files import UnverifiedFileWarning, pack_arrays, unpack_arrays
from prunelab.estimators.parameters import STORED, check_value
from prunelab.estimators.persistence import FORMAT, VERSION
from safetensors.numpy import save_file

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def fitted(blobs, make) -> PrunedMLPClassifier:
    return make(sparsity=0.5, fit_intercept=True, hidden_layer_sizes=(5, 4)).fit(*blobs)


@pytest.fixture(scope="module")
def model_file(fitted, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    fitted.save(path)
    return path


def there_and_back(classifier, folder) -> PrunedMLPClassifier:
    path = folder / "model.safetensors"
    classifier.save(path)
    return PrunedMLPClassifier.load(path)


def rewrite(source: Path, target: Path, change, version: int = VERSION) -> Path:
    """A copy of a model file, after `change(header, arrays)`, with a valid checksum."""
    file = unpack_arrays(source.read_bytes(), FORMAT, VERSION)
    header = {name: value for name, value in file.header.items() if name not in ("sha256", "format", "version")}
    change(header, file.arrays)
    target.write_bytes(pack_arrays(file.arrays, header, FORMAT, version))
    return target


# -- there and back --------------------------------------------------------------------------------------

LABELS = {
    "integers": np.array([3, 1, 2]),
    "negative": np.array([-5, 0, 7], dtype=np.int8),
    "unsigned": np.array([0, 2**63, 2**64 - 1], dtype=np.uint64),
    "large": np.array([-(2**62), 2**53 + 1, 0]),
    "strings": np.array(["left", "right", "up"]),
    "unicode": np.array(["ä", "日本", 'quo"te\\']),
    "objects": np.array(["left", "", "up"], dtype=object),
    "floats": np.array([-1.0, 0.0, 3.0]),
    "single": np.array([0.0, 1.0, 2.0], dtype=np.float32),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_labels_of_any_kind_come_back(blobs, make, tmp_path, labels):
    X, y = blobs
    classifier = make().fit(X, labels[y])
    loaded = there_and_back(classifier, tmp_path)
    assert loaded.classes_.dtype == classifier.classes_.dtype
    np.testing.assert_array_equal(loaded.classes_, classifier.classes_)
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_truth_values_come_back(blobs, make, tmp_path):
    X, y = blobs
    loaded = there_and_back(make().fit(X, y == 1), tmp_path)
    assert loaded.predict(X).dtype == np.bool_


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"granularity": "unit", "norm": np.inf},
        {"norm": "inf"},
        {"hidden_layer_sizes": (6, 5)},
        {"hidden_layer_sizes": [6, 5]},
        {"hidden_layer_sizes": np.array([6, 5])},
        {"hidden_layer_sizes": 6},
        {"hidden_layer_sizes": ()},
        {"activation": "logistic", "fit_intercept": True, "sparsity": 0.9},
        {"precision": "bfloat16", "solver": "sgd"},
        {"early_stopping": True, "fine_tune_iter": 2, "sparsity": 0.5},
        {"sparsity": np.float32(0.5), "max_iter": np.int64(2), "fit_intercept": np.bool_(True)},
        {"tol": -np.inf},
        {"tol": np.inf},
        {"random_state": None},
        pytest.param({"random_state": np.random.RandomState(0)}, id="a RandomState"),
    ],
    ids=str,
)
def test_everything_fitted_comes_back(blobs, make, tmp_path, parameters):
    X, _ = blobs
    classifier = make(**{"hidden_layer_sizes": (6, 5), **parameters}).fit(*blobs)
    loaded = there_and_back(classifier, tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    fitted = {name: value for name, value in vars(classifier).items() if name.endswith("_")}
    assert fitted.keys() == {name for name in vars(loaded) if name.endswith("_")}
    for name, value in fitted.items():
        restored = getattr(loaded, name)
        assert type(restored) is type(value)
        if isinstance(value, dict):
            assert list(restored) == list(value)
            restored, value = list(restored.values()), list(value.values())
        for one, other in zip(restored, value, strict=True) if isinstance(value, list) else [(restored, value)]:
            np.testing.assert_array_equal(one, other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
    for name, value in classifier.get_params().items():
        if name not in ("hidden_layer_sizes", "random_state", "norm"):
            assert getattr(loaded, name) == value
    assert float(loaded.norm) == float(classifier.norm)
    assert np.array_equal(loaded.hidden_layer_sizes, classifier.hidden_layer_sizes)


def test_the_norm_comes_back_as_the_number_it_was(blobs, make, tmp_path):
    assert there_and_back(make(norm=np.inf).fit(*blobs), tmp_path).norm == np.inf


def test_column_names_come_back(blobs, make, tmp_path):
    X, y = blobs
    frame = pd.DataFrame(X, columns=["a", "b", "größe", ""])
    loaded = there_and_back(make().fit(frame, y), tmp_path)
    np.testing.assert_array_equal(loaded.feature_names_in_, frame.columns)
    loaded.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame.rename(columns={"a": "z"}))


def test_another_process_predicts_the_same_bit_for_bit(fitted, model_file, blobs, tmp_path):
    np.save(tmp_path / "X.npy", blobs[0])
    script = (
        "import sys, numpy as np; from prunelab.estimators import PrunedMLPClassifier; "
        "loaded = PrunedMLPClassifier.load(sys.argv[1]); "
        "np.save(sys.argv[3], loaded.predict_proba(np.load(sys.argv[2])))"
    )
    paths = [str(model_file), str(tmp_path / "X.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), fitted.predict_proba(blobs[0]))


def test_a_loaded_classifier_can_go_on(fitted, model_file, blobs):
    loaded = PrunedMLPClassifier.load(model_file)
    loaded.partial_fit(*blobs)
    np.testing.assert_equal(loaded.masks_, fitted.masks_)
    loaded.set_params(warm_start=True, sparsity=0.75).fit(*blobs)
    assert [np.count_nonzero(~mask) for mask in loaded.masks_.values() if mask.ndim == 2] == [15, 15, 0]


def test_saving_twice_gives_the_same_file(fitted, model_file, tmp_path):
    fitted.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == model_file.read_bytes()
    PrunedMLPClassifier.load(model_file).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == model_file.read_bytes()


def test_a_model_that_came_from_a_path_can_be_saved(blobs, make, tmp_path):
    """Even when its memory cannot."""
    classifier = make(memory=str(tmp_path / "cache")).fit(*blobs)
    assert there_and_back(classifier, tmp_path).memory is None


# -- how it is written -----------------------------------------------------------------------------------


def test_a_file_replaces_another_and_leaves_nothing_else(fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("something else")
    fitted.save(str(path))
    fitted.save(path)
    PrunedMLPClassifier.load(str(path))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_file_has_the_usual_permissions(fitted, tmp_path):
    (tmp_path / "usual").write_text("")
    fitted.save(tmp_path / "model")
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_a_save_that_fails_leaves_the_old_file(blobs, make, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_text("precious")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        make().fit(*blobs).save(path)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == [path.name]


def test_a_save_to_nowhere_is_refused(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fitted.save(tmp_path / "nowhere" / "model")
    with pytest.raises(IsADirectoryError, match="directory"):
        fitted.save(tmp_path)


def test_what_is_not_fitted_is_not_saved(make, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        make().save(tmp_path / "model")
    assert not any(tmp_path.iterdir())


def test_a_file_holds_no_pickle(model_file, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    PrunedMLPClassifier.load(model_file)
    content = model_file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32", "BOOL"}
    json.loads(header["__metadata__"]["prunelab"])


# -- what is not a model ---------------------------------------------------------------------------------


def assert_refused(path, match=None):
    with pytest.raises(ModelFileError, match=match) as caught:
        PrunedMLPClassifier.load(path)
    assert isinstance(caught.value, ValueError)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(tmp_path / "missing", "there is no")


def test_a_directory_is_refused(tmp_path):
    assert_refused(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\x00" * 8, b"\xff" * 8, b"not a model at all", bytes(range(256)) * 9]
)
def test_other_bytes_are_refused(tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    assert_refused(tmp_path / "model")


def test_a_pickle_is_refused_and_not_run(fitted, tmp_path):
    (tmp_path / "model").write_bytes(pickle.dumps(fitted))
    assert_refused(tmp_path / "model")


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 40).round(3))
def test_a_file_cut_short_is_refused(model_file, tmp_path, share):
    content = model_file.read_bytes()
    (tmp_path / "model").write_bytes(content[: int(share * len(content))])
    assert_refused(tmp_path / "model")


def test_a_file_that_goes_on_is_refused(model_file, tmp_path):
    (tmp_path / "model").write_bytes(model_file.read_bytes() + b"\x00")
    assert_refused(tmp_path / "model")


@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
@QUICK
def test_a_changed_byte_of_an_unverified_file_is_refused_or_harmless(data_folder, tmp_path, blobs, place, value):
    """It loads and predicts, or it is refused: never another error."""
    content = bytearray((data_folder / "earlier" / "model.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[int(place * header)] = value
    path = tmp_path / "model"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = PrunedMLPClassifier.load(path)
        except ModelFileError:
            return
        loaded.set_params(device="cpu")
        assert loaded.predict_proba(blobs[0]).shape == (90, 3)


def test_another_safetensors_file_is_refused(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "model")
    assert_refused(tmp_path / "model", "not a safetensors file of prunelab")
    save_file({"weight": np.zeros(3)}, tmp_path / "model", metadata={"format": "pt"})
    assert_refused(tmp_path / "model", "prunelab did not write it")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"prunelab-model"', "{}", '{"format": "other"}'])
def test_a_header_that_says_nothing_is_refused(tmp_path, text):
    save_file({"weight": np.zeros(3)}, tmp_path / "model", metadata={"prunelab": text})
    assert_refused(tmp_path / "model", "not a model that can be read")


def test_a_bottomless_header_is_refused(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "model", metadata={"prunelab": "[" * 100_000})
    assert_refused(tmp_path / "model")


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_another_version_is_refused(model_file, tmp_path, version):
    path = rewrite(model_file, tmp_path / "model", lambda header, _: None, version=version)
    assert_refused(path, "version")


def test_another_class_is_refused(model_file, tmp_path):
    path = rewrite(model_file, tmp_path / "model", lambda header, _: header.update({"class": "PrunedResNet"}))
    assert_refused(path, "holds a PrunedResNet, not a PrunedMLPClassifier")


FIRST, SECOND, MASK = "tensors.hidden1.weight", "tensors.hidden2.weight", "masks.hidden1.weight"
ARRAY_CHANGES = {
    "a weight more": lambda arrays: arrays.update({FIRST: np.zeros((5, 5), np.float32)}),
    "transposed": lambda arrays: arrays.update({FIRST: np.ascontiguousarray(arrays[FIRST].T)}),
    "flat": lambda arrays: arrays.update({FIRST: arrays[FIRST].ravel()}),
    "float64": lambda arrays: arrays.update({SECOND: arrays[SECOND].astype(np.float64)}),
    "integer masks": lambda arrays: arrays.update({MASK: arrays[MASK].astype(np.uint8)}),
    "short mask": lambda arrays: arrays.update({"masks.hidden1.bias": np.ones(4, dtype=bool)}),
    "short bias": lambda arrays: arrays.update({"tensors.output.bias": np.zeros(2, np.float32)}),
    "missing": lambda arrays: arrays.pop("masks.output.weight"),
    "another layer": lambda arrays: arrays.update({"tensors.hidden3.weight": np.zeros((3, 3), np.float32)}),
    "something else": lambda arrays: arrays.update({"payload": np.zeros(3)}),
    "not a number": lambda arrays: arrays[SECOND].__setitem__((0, 0), np.nan),
    "masks of something else": lambda arrays: arrays[MASK].fill(False),
}


@pytest.mark.parametrize("change", ARRAY_CHANGES.values(), ids=ARRAY_CHANGES.keys())
def test_arrays_that_do_not_belong_are_refused(model_file, tmp_path, change):
    assert_refused(rewrite(model_file, tmp_path / "model", lambda _, arrays: change(arrays)), "damaged")


HEADER_CHANGES = {
    "no parameters": lambda header: header.pop("parameters"),
    "unknown parameter": lambda header: header["parameters"].update(evil=1),
    "bad parameter": lambda header: header["parameters"].update(sparsity=2),
    "other widths": lambda header: header["network"].update(sizes=[4, 4, 5, 3]),
    "another layer": lambda header: header["network"].update(sizes=[4, 5, 4, 4, 3]),
    "huge widths": lambda header: header["network"].update(sizes=[4, 10**30, 3]),
    "no widths": lambda header: header["network"].update(sizes=[]),
    "one width": lambda header: header["network"].update(sizes=[4]),
    "widths that are no numbers": lambda header: header["network"].update(sizes=[4, "5", None, 3]),
    "other inputs": lambda header: header["network"].update(sizes=[3, 5, 4, 3]),
    "an unknown activation": lambda header: header["network"].update(activation="step"),
    "half a network": lambda header: header["network"].pop("activation"),
    "more of a network": lambda header: header["network"].update(evil=1),
    "a network that is a list": lambda header: header.update(network=[1]),
    "pruned in an unknown way": lambda header: header["pruned_as"].update(scope="x"),
    "pruned in another way": lambda header: header["pruned_as"].update(evil=1),
    "pruned in half a way": lambda header: header["pruned_as"].pop("sparsity"),
    "other widths in the parameters of an old file": lambda header: (
        header.pop("network"),
        header["parameters"].update(hidden_layer_sizes=[4, 5]),
    ),
    "text for widths": lambda header: header["parameters"].update(hidden_layer_sizes="5"),
    "parameters in a list": lambda header: header.update(parameters=[1, 2]),
    "no classes": lambda header: header.pop("classes"),
    "one class": lambda header: header.update(classes=[1]),
    "the same class twice": lambda header: header.update(classes=[1, 1, 2]),
    "another class": lambda header: header.update(classes=[0, 1, 2, 3]),
    "nested classes": lambda header: header.update(classes=[[0], [1], [2]]),
    "classes of text": lambda header: header.update(classes=["a", "b", "c"]),
    "classes that are objects": lambda header: header.update(classes_type="O"),
    "classes of no type": lambda header: header.update(classes_type="nonsense"),
    "classes of a type that is no Python": lambda header: header.update(classes_type="i8,("),
    "features": lambda header: header.update(n_features_in=5),
    "features in words": lambda header: header.update(n_features_in="four"),
    "nothing fitted": lambda header: header.update(fitted={}),
    "names of other features": lambda header: header.update(feature_names_in=["a", "b"]),
    "names that are numbers": lambda header: header.update(feature_names_in=[1, 2, 3, 4]),
    "unsorted classes": lambda header: header.update(classes=[2, 1, 0]),
    "another precision": lambda header: header["fitted"].update(precision_="quadruple"),
    "a curve in words": lambda header: header["fitted"].update(loss_curve_="steep"),
    "a seed in words": lambda header: header["fitted"].update(seed_="zero"),
    "a seed below zero": lambda header: header["fitted"].update(seed_=-1),
    "no curve": lambda header: header["fitted"].update(loss_curve_=[]),
}


@pytest.mark.parametrize("change", HEADER_CHANGES.values(), ids=HEADER_CHANGES.keys())
def test_headers_that_do_not_fit_are_refused(model_file, tmp_path, change):
    assert_refused(rewrite(model_file, tmp_path / "model", lambda header, _: change(header)), "damaged")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_numbers_of_a_kind_that_numpy_does_not_have_are_refused(tmp_path, kind):
    text = json.dumps(
        {"tensors.hidden1.weight": {"dtype": kind, "shape": [1, 2 if kind == "BF16" else 4], "data_offsets": [0, 4]}}
    )
    path = tmp_path / "model"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + b"1234")
    assert_refused(path, "model")
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_file_sets_only_parameters_from_the_list(model_file, tmp_path):
    for name, value in {"memory": "elsewhere", "n_jobs": 2}.items():
        path = rewrite(
            model_file, tmp_path / "model", lambda header, _, n=name, v=value: header["parameters"].update({n: v})
        )
        assert_refused(path, "which a model file may not do")


@pytest.mark.parametrize("name", STORED)
def test_no_parameter_that_a_file_may_set_can_name_a_path(name):
    """A file must not name something to read, write or execute."""
    for path in ("/etc/passwd", "cache", Path("/etc/passwd")):
        with pytest.raises(ValueError, match=name):
            check_value(name, path)


@pytest.mark.parametrize("device", ["/dev/sda", "cuda:/x", "meta", "cpu\n", "", 3, ["cpu"]])
def test_a_file_names_a_device_or_is_refused(model_file, tmp_path, device):
    path = rewrite(model_file, tmp_path / "model", lambda header, _: header["parameters"].update(device=device))
    assert_refused(path, "device must be")


# -- damage and earlier versions -------------------------------------------------------------------------


def flip(content: bytes, position: int) -> bytes:
    """The same bytes with one bit changed."""
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    return bytes(flipped)


@pytest.mark.parametrize(
    "n_flips", [500, pytest.param(4000, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.exhaustive)]
)
def test_a_flipped_bit_is_always_noticed(model_file, tmp_path, n_flips):
    content = model_file.read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "model"
    for position in rng.integers(8 * len(content), size=n_flips):
        path.write_bytes(flip(content, position))
        with pytest.raises(ModelFileError):
            PrunedMLPClassifier.load(path)


def test_a_model_of_the_earlier_version_loads_and_is_reported_as_unverified(data_folder):
    path = data_folder / "earlier" / "model.safetensors"
    with pytest.warns(UnverifiedFileWarning, match="without a checksum") as caught:
        loaded = PrunedMLPClassifier.load(path)
    assert caught[0].filename == __file__
    known = json.loads(path.with_suffix(".json").read_text())
    X = pd.DataFrame(np.array(known["X"], dtype=np.float32), columns=["a", "b", "größe", "d"])
    np.testing.assert_allclose(loaded.predict_proba(X), known["probabilities"], rtol=1e-5)
    assert list(loaded.classes_) == ["left", "right", "up"]
    assert loaded.get_params()["tol"] == -np.inf
    assert (loaded.norm, loaded.granularity, loaded.memory) == ("inf", "unit", None)


def test_a_model_of_the_earlier_version_that_is_saved_again_is_verified(data_folder, tmp_path):
    with pytest.warns(UnverifiedFileWarning):
        loaded = PrunedMLPClassifier.load(data_folder / "earlier" / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnverifiedFileWarning)
        there_and_back(loaded, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places_in(value, path=()):
    """Paths to every value in nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places_in(inner, (*path, key))


@given(data=st.data())
@QUICK
def test_any_header_with_a_valid_checksum_is_refused_or_predicts(model_file, tmp_path, blobs, data):
    """The checksum shows no forgery: a model from elsewhere may have anything in its header."""

    def change(header, _):
        *path, last = data.draw(st.sampled_from(list(places_in(header))))
        for key in path:
            header = header[key]
        header[last] = data.draw(JSON)

    path = rewrite(model_file, tmp_path / "model", change)
    try:
        loaded = PrunedMLPClassifier.load(path)
    except ModelFileError:
        return
    loaded.set_params(device="cpu")
    assert loaded.predict_proba(blobs[0]).shape == (90, 3)
    assert loaded.memory is None


class Payload:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


def pickled(how, payload, path):
    if isinstance(how, int):
        path.write_bytes(pickle.dumps(payload, protocol=how))
    elif how == "torch":
        torch.save(payload, path)
    elif how == "torch, old":
        torch.save(payload, path, _use_new_zipfile_serialization=False)
    elif how == "npy":
        with path.open("wb") as file:
            np.save(file, np.array([payload], dtype=object), allow_pickle=True)
    elif how == "npz":
        with path.open("wb") as file:
            np.savez(file, coefs=np.array([payload], dtype=object))
    else:
        joblib.dump(payload, path, compress=how == "joblib, compressed")


@pytest.mark.parametrize(
    "how", [*range(pickle.HIGHEST_PROTOCOL + 1), "torch", "torch, old", "npy", "npz", "joblib", "joblib, compressed"]
)
def test_no_pickle_is_executed(tmp_path, blobs, make, how):
    """As a model, a checkpoint or a cached training."""
    trace, path = tmp_path / "trace", tmp_path / "file"
    pickled(how, Payload(trace), path)
    assert_refused(path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    memory = tmp_path / "memory"
    make(memory=memory).fit(*blobs)
    (cached,) = memory.rglob("*.safetensors")
    cached.write_bytes(path.read_bytes())
    with pytest.warns(UserWarning, match="computed again"):
        make(memory=memory).fit(*blobs)
    assert not trace.exists()


# -- more of what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("byte_order", ["", "<", ">", "|", "="])
def test_no_more_is_allocated_than_the_file_is_long(model_file, tmp_path, byte_order):
    """Nor for labels declared to be a million characters wide."""

    def widen(header, arrays):
        header.update(classes=["a", "b", "c"], classes_type=f"{byte_order}U1000000")

    path = rewrite(model_file, tmp_path / "model", widen)
    try:
        loaded = PrunedMLPClassifier.load(path)
    except ModelFileError:
        return
    assert loaded.classes_.nbytes < path.stat().st_size


@pytest.mark.parametrize("labels", [np.array([b"a", b"b", b"c"]), np.array(["2020", "2021", "2022"], "datetime64[Y]")])
def test_labels_that_a_file_cannot_hold_are_refused(fitted, tmp_path, labels):
    twin = pickle.loads(pickle.dumps(fitted))
    twin.classes_ = labels
    with pytest.raises(ValueError, match="cannot save class labels of type"):
        twin.save(tmp_path / "model")
    assert not any(tmp_path.iterdir())


# -- from another machine --------------------------------------------------------------------------------


@needs_no_gpu
def test_a_model_trained_on_a_gpu_loads_without_one(fitted, blobs, tmp_path):
    """And predicts on what there is; another fit would want the GPU."""
    trained_elsewhere = pickle.loads(pickle.dumps(fitted)).set_params(device="cuda")
    loaded = there_and_back(trained_elsewhere, tmp_path)
    assert loaded.device == "cuda"
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), fitted.predict_proba(blobs[0]))
    with pytest.raises(ValueError, match="use device='cpu' or 'auto'"):
        loaded.fit(*blobs)


def test_numbers_of_any_kind_come_back(blobs, make, tmp_path):
    loaded = there_and_back(
        make(sparsity=Fraction(1, 2), alpha=Fraction(1, 8), max_iter=np.int8(3)).fit(*blobs), tmp_path
    )
    assert (loaded.sparsity, loaded.alpha, loaded.max_iter) == (0.5, 0.125, 3)
