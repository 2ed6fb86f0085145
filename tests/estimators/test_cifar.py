"""CIFAR-10, in small files of its format."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from prunelab.estimators import DatasetError, backend, load_dataset
from prunelab.estimators.data import cifar, datasets
from prunelab.estimators.data.cifar import CifarDataset, parse_batch
from prunelab.estimators.data.datasets import describe_datasets

N = 20
ARCHIVE = "cifar-10-python.tar.gz"
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def batch(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (N, 3072), dtype=np.uint8)
    return {"batch_label": f"batch {seed}", "data": images, "labels": rng.permutation(np.arange(N) % 10).tolist()}


def archive_of(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


GENUINE = archive_of({name: pickle.dumps(batch(i), protocol=2) for i, name in enumerate(NAMES)})


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder, and a data set whose archive is `GENUINE`."""
    know(monkeypatch, GENUINE)
    return tmp_path / "data"


def know(monkeypatch, content: bytes) -> None:
    dataset = CifarDataset(hashlib.sha256(content).hexdigest(), len(content), N)
    monkeypatch.setattr(datasets, "_CIFAR", dataset)


def put(root, content: bytes = GENUINE) -> None:
    root.mkdir(exist_ok=True)
    (root / ARCHIVE).write_bytes(content)


def state(root) -> tuple[str, str]:
    info = next(info for info in describe_datasets(root) if info.name == "cifar-10")
    assert (info.image_shape, info.n_classes, info.n_train, info.n_test) == ((3, 32, 32), 10, 5 * N, N)
    return info.state, info.checked


def test_images_and_labels_are_those_of_the_archive(root):
    assert state(root)[0] == "not downloaded"
    put(root)
    assert state(root)[0] == "ready"
    found = load_dataset("cifar-10", root, pixels="unit")
    batches = [batch(i) for i in range(6)]
    images = np.concatenate([b["data"] for b in batches[:5]]) / np.float32(255)
    np.testing.assert_allclose(found.X_train, images, atol=1e-6)
    np.testing.assert_array_equal(found.y_train, np.concatenate([b["labels"] for b in batches[:5]]))
    np.testing.assert_array_equal(found.y_test, batches[5]["labels"])
    assert found.image_shape == (3, 32, 32)
    assert (len(found.class_names), found.class_names[3]) == (10, "cat")
    assert found.preprocessing.transform(batches[5]["data"].reshape(N, 3, 32, 32)).shape == (N, 3072)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GENUINE[:-1] + b"x", "is damaged or mislabelled"),
        (GENUINE[:50], "is damaged or mislabelled"),
        (None, "is missing: download it (prunelab data cifar-10 --download"),
    ],
    ids=["changed", "truncated", "missing"],
)
def test_what_is_not_genuine_is_not_read(root, content, says, monkeypatch):
    monkeypatch.setattr(cifar, "parse_batch", lambda *_: pytest.fail("was read"))
    root.mkdir()
    if content is not None:
        put(root, content)
        assert state(root)[0] == ("ready" if len(content) == len(GENUINE) else "damaged")
    with pytest.raises(DatasetError) as refused:
        load_dataset("cifar-10", root)
    assert says in str(refused.value)


def test_unpacked_files_alone_are_not_read(root):
    (root / "cifar-10-batches-py").mkdir(parents=True)
    assert "only unpacked files" in state(root)[1]
    with pytest.raises(DatasetError, match="cannot be verified without it"):
        load_dataset("cifar-10", root)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("content", [Evil(), {"data": Evil(), "labels": []}, np.float64], ids=["call", "data", "type"])
def test_only_arrays_come_out_of_a_pickle(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="is not allowed"):
        parse_batch(pickle.dumps(content), N, 10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changed",
    [
        {"data": np.zeros((N, 3071), np.uint8)},
        {"data": np.zeros((N, 3072), np.float32)},
        {"labels": [0] * (N - 1)},
        {"labels": [10] * N},
        {"labels": ["0"] * N},
        {"labels": None},
    ],
)
def test_batches_of_another_form_are_refused(changed):
    with pytest.raises(ValueError, match=r"data are not|labels are not"):
        parse_batch(pickle.dumps({**batch(0), **changed}), N, 10)


def test_an_archive_without_a_file_is_refused(root, monkeypatch):
    content = archive_of({name: pickle.dumps(batch(0)) for name in NAMES[:-1]})
    know(monkeypatch, content)
    put(root, content)
    with pytest.raises(DatasetError, match=r"test_batch in cifar-10-python.tar.gz is not sound"):
        load_dataset("cifar-10", root)


@pytest.mark.parametrize("arrives", [GENUINE, GENUINE[:-1]], ids=["genuine", "truncated"])
def test_a_download_is_verified_before_it_is_put_into_its_place(root, arrives, monkeypatch):
    def download_url(url, folder, filename, md5):
        assert (url, filename, md5) == ("https://there", ARCHIVE, "MD5")
        with open(os.path.join(folder, filename), "wb") as stream:
            stream.write(arrives)

    known = SimpleNamespace(url="https://there", tgz_md5="MD5")
    fake = SimpleNamespace(datasets=SimpleNamespace(CIFAR10=known, utils=SimpleNamespace(download_url=download_url)))
    monkeypatch.setattr(backend, "import_torchvision", lambda: fake)
    put(root, b"damaged")
    messages = []
    if arrives is GENUINE:
        assert load_dataset("cifar-10", root, download=True, progress=messages.append).source.endswith("just now")
        assert "about 170 MB" in messages[0]
        load_dataset("cifar-10", root)
    else:
        with pytest.raises(DatasetError, match="were thrown away"):
            load_dataset("cifar-10", root, download=True)
        assert (root / ARCHIVE).read_bytes() == b"damaged"
    assert sorted(path.name for path in root.iterdir()) == [ARCHIVE]


def test_the_published_archive_is_the_one_that_torchvision_knows():
    published = backend.import_torchvision().datasets.CIFAR10
    assert published.filename == ARCHIVE
    assert [name for name, _ in (*published.train_list, *published.test_list)] == NAMES
    assert replace(CifarDataset(), n_per_file=1).n_train == 5
