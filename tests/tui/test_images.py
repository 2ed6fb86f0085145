"""Images as text: their size, their characters, and that they show the pixels."""

import numpy as np
import pytest
from prunelab.tui.drawing.images import draw_gallery, draw_image, fit_images

from .drawn import assert_fits

MODES = [
    pytest.param({"colour": True}, id="colour"),
    pytest.param({"colour": False}, id="monochrome"),
    pytest.param({"colour": True, "ascii_only": True}, id="ascii-colour"),
    pytest.param({"colour": False, "ascii_only": True}, id="ascii"),
]
PLAIN = {"colour": False, "ascii_only": True}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (1, 1), (7, 13), (30, 4), (1, 28, 28), (28, 28, 1)])
@pytest.mark.parametrize("width", [None, 1, 14, 40])
def test_images_keep_their_proportions(shape, width, mode):
    pixels = np.random.default_rng(0).uniform(-1, 1, shape)
    lines = draw_image(pixels, width=width, **mode)
    rows, columns = [n for n in shape if n > 1] or [1, 1]
    wanted = width or columns
    assert_fits("\n".join(lines), wanted, max(1, round(rows / columns * wanted / 2)), **mode)


def test_bright_pixels_are_dense_characters():
    ramp = np.repeat(np.linspace(-1, 1, 10)[None], 2, axis=0)
    assert draw_image(ramp, ascii_only=True) == [" .:-=+*#%@"]
    assert draw_image(ramp[:, [0, 2, 4, 7, 9]], colour=False) == [" ░▒▓█"]
    assert draw_image(ramp, ascii_only=True) == draw_image(ramp * 40 + 3, ascii_only=True)


def test_half_blocks_show_two_pixels_in_a_character():
    pixels = np.array([[1, 0, 1, 0], [0, 1, 1, 0]])
    assert draw_image(pixels, colour=False) == ["▀▄█ "]
    white, black = 231, 16
    pairs = [(white, black), (black, white), (white, white), (black, black)]
    assert draw_image(pixels) == ["".join(f"\x1b[38;5;{a};48;5;{b}m▀\x1b[0m" for a, b in pairs)]


def test_limits_fix_what_is_black_and_white():
    assert draw_image([[0.5, 0.5], [0.5, 0.5]], ascii_only=True, limits=(0, 0.5)) == ["@@"]
    assert draw_image([[5, -5], [5, -5]], ascii_only=True, limits=(0, 1)) == ["@ "]


def test_shrinking_averages():
    checkerboard = np.indices((28, 28)).sum(axis=0) % 2
    assert draw_image(checkerboard, width=14, ascii_only=True, limits=(0, 1)) == ["=" * 14] * 7


@pytest.mark.parametrize("mode", MODES)
def test_images_without_contrast_or_with_nan_are_dark(mode):
    for pixels in (np.full((4, 4), 3.0), np.full((4, 4), np.nan)):
        assert_fits("\n".join(draw_image(pixels, **mode)), 4, 2, **mode)
    assert draw_image(np.full((4, 4), 3.0), ascii_only=True) == ["    "] * 2
    assert draw_image([[np.nan, 1, 0], [np.nan, 1, 0]], ascii_only=True) == [" @ "]


@pytest.mark.parametrize("shape", [(3, 28, 28), (28,), (0, 0)])
def test_what_is_not_one_grey_image_is_refused(shape):
    with pytest.raises(ValueError, match="grey image"):
        draw_image(np.zeros(shape))
    with pytest.raises(ValueError, match="width"):
        draw_image(np.zeros((3, 3)), width=0)


FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [80, 60, 33, 12, 5, 1, 200])
def test_galleries_are_as_wide_as_asked(width, mode):
    images = np.random.default_rng(0).random((10, 28, 28))
    assert_fits(draw_gallery(images, FASHION, width=width, **mode), width, None, **mode)


def test_ten_mnist_images_take_two_rows_of_five():
    text = draw_gallery(np.ones((10, 28, 28)), FASHION, width=80, colour=False)
    captions = [line.split() for line in text.split("\n") if line.strip()]
    assert captions == [FASHION[:5], [*FASHION[5:9], "Ankle", "boot"]]
    assert len(text.split("\n")) == 2 * (7 + 1) + 1


def test_ten_small_digits_take_one_row():
    text = draw_gallery(np.ones((10, 8, 8)), range(10), width=80, colour=False)
    assert text.split("\n")[-1].split() == list("0123456789")
    assert len(text.split("\n")) == 4 + 1


def test_captions_are_centred_below_their_images():
    images = np.zeros((2, 8, 8))
    images[:, :, 3:5] = 1
    lines = draw_gallery(images, ["ab", "cd"], width=40, **PLAIN).split("\n")
    assert lines[0].index("@@") == lines[-1].index("ab")
    assert lines[0].rindex("@@") == lines[-1].index("cd")


def test_long_captions_end_in_an_ellipsis():
    images = np.ones((2, 8, 8))
    assert "Ankle b…" in draw_gallery(images, ["Ankle boot", "Bag"], width=20, colour=False)
    assert "Ankle..  " in draw_gallery(images, ["Ankle boot", "Bag"], width=20, **PLAIN)


def test_images_can_be_given_a_width():
    lines = draw_gallery(np.ones((4, 28, 28)), "abcd", width=50, image_width=20, colour=False).split("\n")
    assert len(lines) == 2 * (10 + 1) + 1


def test_a_gallery_needs_a_label_for_each_image():
    with pytest.raises(ValueError, match="label"):
        draw_gallery(np.ones((2, 8, 8)), ["a"], width=80)
    assert_fits(draw_gallery([], [], width=80), 80, 1)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 48), (3, 200)])
@pytest.mark.parametrize("count", [1, 10, 33])
@pytest.mark.parametrize(("width", "height"), [(44, 20), (76, 34), (154, 56)])
def test_as_many_images_fit_as_is_said(shape, count, width, height):
    tile, capacity = fit_images(shape, count, width, height)
    assert capacity >= count or tile == 7
    text = draw_gallery(np.ones((capacity, *shape)), range(capacity), width=width, image_width=tile, colour=False)
    assert_fits(text, width, None)
    assert len(text.split("\n")) <= height


def test_images_are_as_large_as_possible():
    assert fit_images((8, 8), 1, 76, 34) == (66, 1)
    assert fit_images((28, 28), 10, 44, 20) == (10, 12)
    assert fit_images((28, 28), 10, 154, 56)[0] > 28


def test_there_is_always_room_for_one_image():
    assert fit_images((28, 28), 10, 5, 2) == (7, 1)
    assert fit_images((2, 2), 10, 1, 1) == (2, 1)
