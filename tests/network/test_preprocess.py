"""The network's input is the one that Cellpose makes."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cellflow.config import DataConfig
from cellflow.errors import ConfigError, ImageError
from cellflow.network.preprocess import percentiles, prepare_image, resize_image


def test_percentiles_become_zero_and_one_and_the_second_channel_is_empty(rng):
    image = rng.integers(0, 4000, (40, 50), np.uint16)
    prepared = prepare_image(image, DataConfig())
    assert prepared.dtype == np.float32
    assert np.percentile(prepared[0], [1, 99]) == pytest.approx([0, 1], abs=1e-5)
    assert not prepared[1].any()


def test_a_flat_image_becomes_zero():
    assert not prepare_image(np.full((5, 6), 200, np.uint8), DataConfig()).any()


def test_grey_of_a_coloured_image_is_its_mean(rng):
    image = rng.random((3, 9, 9))
    grey = prepare_image(image, DataConfig())[0]
    assert grey == pytest.approx(prepare_image(image.mean(axis=0), DataConfig())[0], abs=1e-6)


def test_channels_are_chosen_in_cellposes_meaning(rng):
    image = rng.random((3, 9, 9))
    prepared = prepare_image(image, DataConfig(channels=(2, 3)))
    assert prepared[0] == pytest.approx(prepare_image(image[1], DataConfig())[0])
    assert prepared[1] == pytest.approx(prepare_image(image[2], DataConfig())[0])


def test_an_absent_channel_and_infinity_are_refused():
    with pytest.raises(ImageError, match="channel 2 is asked for, but the image has only 1"):
        prepare_image(np.zeros((5, 5)), DataConfig(channels=(2, 0)))
    with pytest.raises(ImageError, match="NaN or infinity"):
        prepare_image(np.array([[0.0, np.inf]]), DataConfig())


@pytest.mark.parametrize("shape", [(9, 8, 3), (10, 9, 8), (1, 2, 9, 8), (9,), (0, 9), (0, 9, 8)])
def test_what_is_no_picture_is_refused_with_its_shape(shape):
    with pytest.raises(ImageError, match=re.escape(f"at most 4 channels, found shape {shape}")):
        prepare_image(np.zeros(shape), DataConfig())


def test_a_nuclear_channel_beside_grey_is_refused_as_cellpose_would_ignore_it():
    with pytest.raises(ConfigError, match=r"ignores a nuclear channel beside grey .* \(0, 2\)"):
        DataConfig(channels=(0, 2))


@pytest.mark.parametrize("several", [list, tuple])
def test_several_images_are_not_taken_for_the_channels_of_one(rng, several):
    image = rng.random((5, 6))
    with pytest.raises(ImageError, match=f"expected one image, found a {several.__name__} of 2"):
        prepare_image(several([image, image]), DataConfig())
    assert prepare_image(image.tolist(), DataConfig()).shape == (2, 5, 6)


def test_channels_last_are_told_how_to_be_turned():
    for image, hint in (
        (np.zeros((9, 8, 3)), r"\(9, 8, 3\); numpy\.moveaxis\(image, -1, 0\)"),
        (np.zeros((10, 9, 8)), r"\(10, 9, 8\)$"),
    ):
        with pytest.raises(ImageError, match=hint):
            prepare_image(image, DataConfig())


def test_what_are_no_grey_levels_is_refused():
    for image in (np.zeros((5, 5), complex), np.full((5, 5), "a"), np.zeros((5, 5), object)):
        with pytest.raises(ImageError, match="expected grey levels as real numbers, found"):
            prepare_image(image, DataConfig())


def test_lists_of_numbers_are_a_picture(rng):
    image = rng.integers(0, 256, (8, 9))
    expected = prepare_image(image, DataConfig())
    assert (prepare_image(image.tolist(), DataConfig()) == expected).all()


@given(
    plane=st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]).flatmap(
        lambda dtype: arrays(
            dtype, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 99)
        )
    ),
    shares=st.lists(st.floats(0, 100), min_size=1, max_size=3),
)
def test_percentiles_are_numpys_for_counted_and_sorted_grey_levels(plane, shares):
    expected = np.percentile(plane.astype(np.float64), shares)
    assert percentiles(plane, shares) == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_picture_is_prepared_the_same_from_any_dtype(rng, dtype):
    image = rng.integers(0, 256, (40, 30))
    expected = prepare_image(image, DataConfig())
    np.testing.assert_allclose(
        prepare_image(image.astype(dtype), DataConfig()), expected, atol=1e-6
    )


@pytest.mark.reference
def test_grey_levels_are_normalised_as_in_cellpose(rng):
    transforms = pytest.importorskip("cellpose.transforms")
    image = rng.integers(0, 255, (64, 70)).astype(np.uint8)
    expected = transforms.normalize99(image.astype(np.float32))
    assert prepare_image(image, DataConfig())[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("shape", [(23, 61), (80, 40), (31, 31)])
def test_resizing_is_cellposes(rng, shape):
    transforms = pytest.importorskip("cellpose.transforms")
    image = rng.random((31, 31, 2)).astype(np.float32)
    expected = transforms.resize_image(image, Ly=shape[0], Lx=shape[1])
    tensor = torch.from_numpy(image.transpose(2, 0, 1))[None]
    found = resize_image(tensor, shape)[0].numpy().transpose(1, 2, 0)
    assert found == pytest.approx(expected, abs=1e-5)
