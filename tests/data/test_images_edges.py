"""Pictures of odd sizes, axes and endings."""

import re

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from cellflow.data.images import list_images, read_image, write_png
from cellflow.data.label_images import read_label_image
from cellflow.errors import ImageError, LabelError


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 4)])
def test_no_side_is_too_short(tmp_path, suffix, shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        write_png(path, pixels)
    else:
        tifffile.imwrite(path, pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    np.testing.assert_array_equal(read_label_image(path), pixels)


def test_one_coloured_pixel(tmp_path):
    write_png(tmp_path / "a.png", np.array([[[1, 2, 3]]], np.uint8))
    assert read_image(tmp_path / "a.png").tolist() == [[[1]], [[2]], [[3]]]


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "lzw.tif"])
def test_a_picture_cut_anywhere_is_refused(tmp_path, rng, suffix, part):
    pixels = rng.integers(0, 255, (64, 80), np.uint8)
    path = tmp_path / f"cut.{suffix}"
    if suffix == "png":
        write_png(path, pixels)
    elif suffix == "jpg":
        path.write_bytes(imagecodecs.jpeg_encode(pixels))
    else:
        tifffile.imwrite(path, pixels, compression="lzw" if "lzw" in suffix else None)
    read_image(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ImageError, match=r"cut\."):
        read_image(path)


def test_a_tiff_whose_directory_is_cut_off_is_refused(tmp_path):
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    directory = int.from_bytes(content[4:8], "little")
    (tmp_path / "a.tif").write_bytes(content[:8] + content[directory:][:4])
    with pytest.raises(ImageError, match=r"a\.tif: broken image, or not TIF"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((5, 6, 3), {"photometric": "rgb"}, (3, 5, 6)),
        ((5, 6, 4), {"photometric": "rgb"}, (3, 5, 6)),
        ((3, 50, 60), {"photometric": "rgb", "planarconfig": "separate"}, (3, 50, 60)),
        ((1, 50, 60), {}, (50, 60)),
        ((2, 50, 60), {"photometric": "minisblack"}, (2, 50, 60)),
        ((50, 60, 2), {"photometric": "minisblack"}, (2, 50, 60)),
        ((4, 50, 60), {"imagej": True, "metadata": {"axes": "CYX"}}, (4, 50, 60)),
        ((1, 50, 60), {"imagej": True, "metadata": {"axes": "ZYX"}}, (50, 60)),
    ],
)
def test_the_channels_of_a_tiff_come_first(tmp_path, shape, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    assert read_image(tmp_path / "a.tif").shape == expected


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 50, 60), {"imagej": True, "metadata": {"axes": "ZYX"}}),
        ((3, 50, 60), {"imagej": True, "metadata": {"axes": "TYX"}}),
        ((2, 3, 50, 60), {"photometric": "minisblack"}),
    ],
)
def test_a_stack_is_never_taken_for_channels(tmp_path, shape, options):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), **options)
    found = re.escape(f"a.tif: expected one picture, found a stack of shape {shape} (axes ")
    with pytest.raises(ImageError, match=rf"{found}.*`cellflow split` writes one file a plane"):
        read_image(tmp_path / "a.tif")


def test_complex_numbers_are_no_picture(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5), np.complex64))
    with pytest.raises(ImageError, match="expected grey levels, found numbers of type complex64"):
        read_image(tmp_path / "a.tif")


def test_labels_beyond_int32_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 2**31]], np.uint32))
    with pytest.raises(LabelError, match="between 0 and 2147483647"):
        read_label_image(tmp_path / "a.tif")


def test_names_that_are_equal_as_numbers_still_have_one_order(tmp_path):
    for name in ("a1.png", "a01.png", "a001.png", "²x.png"):
        (tmp_path / name).touch()
    names = [path.name for path in list_images(tmp_path)]
    assert names == ["a001.png", "a01.png", "a1.png", "²x.png"]
