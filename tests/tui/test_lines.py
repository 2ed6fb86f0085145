"""Sequences drawn as lines."""

from __future__ import annotations

import numpy as np
import pytest
from prunelab.estimators.data.datasets import load_dataset
from prunelab.tui.drawing.lines import MAX_COLUMNS, line_images
from prunelab.tui.service.pictures import Pictures


def test_a_line_rises_from_the_lower_left_to_the_upper_right_without_gaps():
    image = line_images(np.linspace(0, 1, 20)[None, :, None], 0.0, 1.0)[0]
    assert image.shape == (16, 20)
    assert image[-1, 0] == image[0, -1] == 1
    assert image[0, 0] == image[-1, -1] == 0
    assert image.any(axis=0).all()
    assert image.any(axis=1).all()


def test_a_jump_is_a_vertical_line():
    image = line_images(np.array([0.0] * 5 + [1.0] * 5)[None, :, None], 0.0, 1.0)[0]
    assert image[:, 4].all()
    assert image[:, 3].sum() == image[:, 6].sum() == 1


def test_peaks_of_long_sequences_stay_visible():
    values = np.zeros(5000)
    values[2500] = 1
    image = line_images(values[None, :, None], 0.0, 1.0)[0]
    assert image.shape[1] == MAX_COLUMNS
    assert 1 <= image[0].sum() <= 2
    assert image[:, image[0] > 0].all()


@pytest.mark.filterwarnings("error")
def test_features_have_lines_of_their_own_and_missing_steps_none():
    values = np.stack([np.full(10, 0.9), np.full(10, 0.1)], axis=1)
    values[6:] = np.nan
    image = line_images(values[None], 0.0, 1.0)[0]
    assert len(np.unique(image)) == 3
    assert image[:, :5].any(axis=0).all()
    assert not image[:, 7:].any()


def test_the_sequences_of_a_data_set_are_drawn_and_differ():
    data = load_dataset("mnist1d")
    images = Pictures(data).of(data.X_test[:5])
    assert images is not None
    assert (images.dtype, images.shape) == (np.uint8, (5, 32, 40))
    assert (images.reshape(5, -1).max(axis=1) == 255).all()
    assert len(np.unique(images.reshape(5, -1), axis=0)) == 5
