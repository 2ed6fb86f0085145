"""Loading data in tests: properties of loaded data, and of the error message if loading fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prunelab.estimators import load_dataset
from prunelab.estimators.data.datasets import DatasetError


def fails(name: str | Path, *words: str, root: Path | None = None, download: bool = False) -> str:
    """Load, expect one helpful sentence with all the words, and return it."""
    with pytest.raises(DatasetError) as caught:
        load_dataset(name, root, download=download)
    message = str(caught.value)
    assert message.isprintable()
    assert not message.endswith(".")
    for word in words:
        assert word in message, message
    return message


def assert_sound(data: Any) -> None:
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.dtype == np.float32
        assert X.ndim == 2
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert np.isfinite(X).all()
        assert y.shape == (len(X),)
        assert y.dtype == np.int64 or y.dtype.kind == "U"
    assert data.X_train.shape[1] == data.X_test.shape[1]
    assert data.class_names == [str(label) for label in np.unique(data.y_train)] or data.y_train.max() < len(
        data.class_names
    )
    assert isinstance(data.source, str)
