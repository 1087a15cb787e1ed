import numpy as np
import pytest

from cellflow.errors import ImageError
from cellflow.pictures.display import stretch_contrast


def test_a_faint_image_fills_the_range_and_debris_does_not_spoil_it(rng):
    image = rng.integers(126, 131, (50, 50)).astype(np.uint8)
    image[0, 0] = 255
    drawn = stretch_contrast(image)
    assert drawn.shape == (50, 50, 3)
    assert drawn.dtype == np.uint8
    assert (drawn[image == 126] == 0).all()
    assert (drawn[image == 130] == 255).all()
    assert (drawn[0, 0] == 255).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, bool])
def test_every_depth_gives_the_same_picture(dtype):
    image = np.array([[0, 1], [1, 0]], dtype)
    np.testing.assert_array_equal(stretch_contrast(image)[..., 0], [[0, 255], [255, 0]])


def test_channels_become_colours():
    image = np.arange(12).reshape(3, 2, 2)
    assert stretch_contrast(image)[1, 1].tolist() == [255, 255, 255]
    assert stretch_contrast(image[:2])[1, 1].tolist() == [255, 255, 0]
    np.testing.assert_array_equal(stretch_contrast(image[:1]), stretch_contrast(image[0]))
    fourth = np.concatenate([image, image[:1]])
    np.testing.assert_array_equal(stretch_contrast(fourth), stretch_contrast(image))


def test_an_empty_channel_colours_nothing():
    image = np.stack([np.arange(6).reshape(2, 3), np.zeros((2, 3)), np.full((2, 3), 9)])
    assert (stretch_contrast(image)[..., 1:] == 0).all()
    assert stretch_contrast(image)[..., 0].max() == 255


@pytest.mark.parametrize("image", [np.full((2, 3), 7), np.full((2, 3), np.nan), np.zeros((1, 1))])
def test_an_image_of_one_level_is_black(image):
    assert (stretch_contrast(image) == 0).all()


def test_pixels_that_are_not_finite_are_black():
    drawn = stretch_contrast(np.array([[np.nan, 1.0, 2.0, np.inf, -np.inf]]))
    assert drawn[0, :, 0].tolist() == [0, 0, 255, 0, 0]


@pytest.mark.parametrize("shape", [(4,), (0, 5, 5), (1, 1, 5, 5)])
def test_another_form_is_refused(shape):
    with pytest.raises(ImageError, match="channels first"):
        stretch_contrast(np.zeros(shape))
