"""Answers requests about data sets for the Data screen, in the service process (see `prunelab.tui.service.server`).

==================  ==========================================  ====================================================
operation           fields                                      answer
==================  ==========================================  ====================================================
``data.preview``    ``source``, ``rows``                        the first lines of a table, as they are read
``data.describe``   ``source``                                  a description of the data, with class counts
``data.images``     ``source, part, choice, start, count``      a page of images, as bytes, with their classes
``data.features``   ``source, part, start, count, rows``        a page of columns of tabular data
``data.download``   ``name``, ``root``                          the bytes received, four times a second
==================  ==========================================  ====================================================

``source`` is a `DataSource`; ``part`` is "training" or "test"; ``choice`` is the number of a class, or None for one
image per class.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...estimators.data.datasets import data_folder, load_dataset, load_source
from ...estimators.data.source import DataSource
from .pictures import Pictures

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from .server import Answer, Operation, Request

SECONDS_BETWEEN_ANSWERS = 0.25

#: Number of data sets kept in memory, as bytes if they are images.
KEPT = 2


@dataclass(frozen=True)
class Part:
    """The training or the test data: bytes of shape (n, height, width) for images, else the values in the
    file; the number of every sample's class; and for every class the indices of its samples.
    """

    X: NDArray[Any]
    y: NDArray[np.intp]
    members: list[NDArray[np.intp]]


@dataclass(frozen=True)
class Data:
    """A data set prepared for display; the names of the features are None if they are the pixels of an image."""

    source: str
    assumptions: list[str]
    n_features: int
    image_shape: tuple[int, int] | None
    class_names: list[str]
    feature_names: list[str] | None
    parts: dict[str, Part]


_kept: dict[tuple[object, ...], Data] = {}


def preview(request: Request) -> Iterator[Answer]:
    """The first lines of a table."""
    from ...estimators.data.tables import preview_table

    source = DataSource.from_json(request["source"])
    (path, *_) = source.paths
    found = preview_table(path, source.options, request["rows"])
    yield {
        "names": found.names,
        "roles": found.roles,
        "rows": found.rows,
        "assumptions": found.assumptions,
        "problem": found.problem,
    }


def describe(request: Request) -> Iterator[Answer]:
    """A description of the data."""
    data = _load(request)
    yield {
        "source": data.source,
        "assumptions": data.assumptions,
        "n_features": data.n_features,
        "image_shape": data.image_shape,
        "class_names": data.class_names,
        "counts": {name: [len(members) for members in part.members] for name, part in data.parts.items()},
    }


def images(request: Request) -> Iterator[Answer]:
    """A page of images: of one class, or a first one of each class, then a second one of each, and so on."""
    part = _load(request).parts[request["part"]]
    choice, start, count = request["choice"], request["start"], request["count"]
    if choice is not None:
        total = len(part.members[choice])
        chosen = part.members[choice][start : start + count]
    else:
        n_classes = len(part.members)
        total = n_classes * max(len(members) for members in part.members)
        places = (divmod(place, n_classes) for place in range(start, min(start + count, total)))
        chosen = [part.members[i][turn] for turn, i in places if turn < len(part.members[i])]
        chosen = np.array(chosen, dtype=np.intp)
    pixels = part.X[chosen]
    yield {
        "pixels": base64.b64encode(pixels.tobytes()).decode("ascii"),
        "shape": pixels.shape,
        "classes": part.y[chosen].tolist(),
        "indices": chosen.tolist(),
        "total": total,
    }


def features(request: Request) -> Iterator[Answer]:
    """A page of columns: name, mean, minimum and maximum of each, and its values in the first samples."""
    data = _load(request)
    part = data.parts[request["part"]]
    start, n_rows = request["start"], request["rows"]
    X = part.X[:, start : start + request["count"]]
    names = data.feature_names or []
    yield {
        "names": names[start : start + X.shape[1]],
        "mean": X.mean(axis=0).tolist(),
        "min": X.min(axis=0).tolist(),
        "max": X.max(axis=0).tolist(),
        "rows": X[:n_rows].T.tolist(),
        "classes": part.y[:n_rows].tolist(),
        "total": data.n_features,
    }


def download(request: Request) -> Iterator[Answer]:
    """The bytes received and their approximate total, until all files are complete and verified."""
    arrived = 0
    failed: list[BaseException] = []

    def on_bytes(number: int) -> None:
        nonlocal arrived
        arrived = number

    def work() -> None:
        try:
            load_dataset(request["name"], request["root"], download=True, on_bytes=on_bytes)
        except BaseException as error:
            failed.append(error)

    # A daemon thread: cancelling a download ends the process.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(SECONDS_BETWEEN_ANSWERS)
        yield {"arrived": arrived}
    _kept.clear()
    if failed:
        raise failed[0]


def _load(request: Request) -> Data:
    """The data set, from memory if it was requested recently and has not changed since."""
    source = DataSource.from_json(request["source"])
    changed = [path.stat().st_mtime_ns if path.is_file() else 0 for path in source.paths]
    key = (source, str(data_folder(source.root)), *changed)
    data = _kept.pop(key, None)
    if data is None:
        data = _to_data(load_source(source))
    _kept[key] = data  # the most recent one last
    while len(_kept) > KEPT:
        del _kept[next(iter(_kept))]
    return data


def _to_data(bunch: Bunch) -> Data:
    labels = np.unique(bunch.y_train)
    shape, names = None, None
    parts, pictures = {}, Pictures(bunch)
    for name, X, y in (("training", bunch.X_train, bunch.y_train), ("test", bunch.X_test, bunch.y_test)):
        images = pictures.of(X)
        if images is not None:
            shape, X = (images.shape[1], images.shape[2]), images
        elif bunch.get("feature_scale") is not None:
            X = X * bunch.feature_scale + bunch.feature_mean
        classes = np.searchsorted(labels, y)
        parts[name] = Part(X, classes, [np.flatnonzero(classes == i) for i in range(len(bunch.class_names))])
    n_features = bunch.X_train.shape[1]
    if shape is None:
        names = list(bunch.get("feature_names") or (f"x{i}" for i in range(n_features)))
    return Data(bunch.source, bunch.assumptions, n_features, shape, list(map(str, bunch.class_names)), names, parts)


OPERATIONS: dict[str, Operation] = {
    "preview": preview,
    "describe": describe,
    "images": images,
    "features": features,
    "download": download,
}
