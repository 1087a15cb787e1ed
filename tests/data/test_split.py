"""Stacks become separate pictures, whose names keep the order and the places."""

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from cellflow.data.entrance import open_annotated
from cellflow.data.images import list_images, read_image
from cellflow.data.label_images import read_label_image
from cellflow.data.split import split_stacks
from cellflow.errors import ConfigError, ImageError


def split(folder, *names, **options):
    files = split_stacks([folder / name for name in names], folder / "out", **options)
    assert sorted(files) == sorted((folder / "out").iterdir())
    return [file.name for file in files]


@pytest.mark.parametrize(
    ("shape", "options", "names"),
    [
        ((3, 8, 9), {"imagej": True, "metadata": {"axes": "TYX"}}, ["x_t0", "x_t1", "x_t2"]),
        ((2, 8, 9), {"imagej": True, "metadata": {"axes": "ZYX"}}, ["x_z0", "x_z1"]),
        ((5, 8, 9), {"photometric": "minisblack"}, [f"x_{place}" for place in range(5)]),
        ((5, 8, 9), {"imagej": True, "metadata": {"axes": "CYX"}}, [f"x_c{k}" for k in range(5)]),
        ((1, 2, 8, 9), {"ome": True, "metadata": {"axes": "TZYX"}}, ["x_z0", "x_z1"]),
        ((2, 2, 8, 9), {"photometric": "minisblack"}, ["x_0_0", "x_0_1", "x_1_0", "x_1_1"]),
        ((2, 8, 9, 3), {"photometric": "rgb"}, ["x_0", "x_1"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_each_plane_is_a_picture_of_its_own(tmp_path, rng, shape, options, names, compression):
    stack = rng.integers(0, 255, shape, np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", stack, compression=compression, **options)
    assert split(tmp_path, "x.tif") == [f"{name}.tif" for name in names]
    pictures = [read_image(path) for path in list_images(tmp_path / "out")]
    planes = stack.reshape(-1, *stack.shape[-3 if stack.shape[-1] == 3 else -2 :])
    if planes.ndim == 4:
        planes = np.moveaxis(planes, -1, 1)
    assert (np.stack(pictures) == planes).all()


def test_channels_of_a_plane_stay_together(tmp_path, rng):
    stack = rng.integers(0, 2**16, (3, 2, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    assert split(tmp_path, "x.tif") == ["x_t0.tif", "x_t1.tif", "x_t2.tif"]
    for place, plane in enumerate(stack):
        picture = read_image(tmp_path / f"out/x_t{place}.tif")
        assert picture.dtype == np.uint16
        assert (picture == plane).all()


def test_pages_of_other_programs_are_planes(tmp_path, rng):
    planes = rng.integers(0, 255, (12, 8, 9), np.uint8)
    first, *rest = [Image.fromarray(plane) for plane in planes]
    first.save(tmp_path / "pages.tif", save_all=True, append_images=rest)
    with tifffile.TiffWriter(tmp_path / "series.TIF") as file:
        for plane in planes:
            file.write(plane, photometric="minisblack", contiguous=False)
    names = split(tmp_path, "pages.tif", "series.TIF")
    assert names[:2] == ["pages_00.tif", "pages_01.tif"]
    assert names[-1] == "series_11.tif"
    for name in ("pages", "series"):
        assert (read_image(tmp_path / f"out/{name}_07.tif") == planes[7]).all()


def test_greys_from_white_to_black_are_inverted_and_labels_are_not(tmp_path):
    stack = np.zeros((5, 8, 9), np.uint8)
    stack[3, 2:4, 2:4] = 7
    for name in ("x.tif", "x_masks.tif"):
        tifffile.imwrite(tmp_path / name, stack, photometric="miniswhite")
    split(tmp_path, "x.tif", "x_masks.tif")
    assert (read_image(tmp_path / "out/x_3.tif") == 255 - stack[3]).all()
    assert (read_label_image(tmp_path / "out/x_3_masks.tif") == stack[3]).all()


@pytest.mark.parametrize(("picture", "labels"), [("x", "x_masks"), ("x_img", "x_cp_masks")])
def test_pictures_and_labels_of_a_series_are_annotated_images(tmp_path, rng, picture, labels):
    pictures = rng.integers(0, 255, (3, 8, 9), np.uint8)
    cells = np.zeros((3, 8, 9), np.uint16)
    cells[0, 1:4, 1:4], cells[1, 1:4, 1:4], cells[1, 5:7, 2:6], cells[2, 1:3, 1:3] = 1, 1, 2, 300
    for name, stack in ((picture, pictures), (labels, cells)):
        file = tmp_path / f"{name}.tif"
        tifffile.imwrite(file, stack, imagej=True, metadata={"axes": "TYX"})
    split(tmp_path, f"{picture}.tif", f"{labels}.tif")
    samples = [entry.load() for entry in open_annotated(tmp_path / "out")]
    assert [len(sample.masks) for sample in samples] == [1, 2, 1]
    assert (np.stack([sample.image for sample in samples]) == pictures).all()


def test_one_picture_is_no_stack(tmp_path):
    for name, shape in (("x", (8, 9)), ("c", (3, 8, 9))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros(shape, np.uint8), photometric=1)
        with pytest.raises(ImageError, match=rf"{name}\.tif: expected a stack .*, found one pict"):
            split_stacks([tmp_path / f"{name}.tif"], tmp_path / "out")


def test_what_is_no_tiff_or_broken_is_named_and_nothing_is_written(tmp_path):
    stack = np.arange(3 * 80 * 90, dtype=np.uint16).reshape(3, 80, 90)
    tifffile.imwrite(tmp_path / "whole.tif", stack, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "cut.tif", stack, photometric="minisblack", compression="zlib")
    content = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    (tmp_path / "x.png").touch()
    for name, said in (("cut.tif", "cut.tif: "), ("x.png", "x.png: expected a TIFF stack")):
        with pytest.raises(ImageError, match=re.escape(said)):
            split_stacks([tmp_path / "whole.tif", tmp_path / name], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_there_are_replaced_only_on_request(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")
    split(tmp_path, "x.tif")
    (tmp_path / "out/x_3.tif").write_text("drawn on")
    with pytest.raises(ConfigError, match=r"holds 5 files of these names already \(x_0\.tif, "):
        split(tmp_path, "x.tif")
    assert (tmp_path / "out/x_3.tif").read_text() == "drawn on"
    split(tmp_path, "x.tif", overwrite=True)
    assert (read_image(tmp_path / "out/x_3.tif") == 0).all()


def test_two_stacks_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        stack = np.zeros((5, 8, 9), np.uint8)
        tifffile.imwrite(tmp_path / folder / "x.tif", stack, photometric="minisblack")
    with pytest.raises(ConfigError, match=r"x_0\.tif: two outputs would be written there"):
        split(tmp_path, "a/x.tif", "b/x.tif")


def test_progress_tells_of_every_plane(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")
    steps = []
    split(tmp_path, "x.tif", report=lambda step, numbers: steps.append((step, numbers["total"])))
    assert steps == [(step, 5) for step in range(1, 6)]


def test_an_interrupted_split_leaves_no_new_file_and_can_be_given_again(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((5, 8, 9), np.uint8), photometric="minisblack")

    def interrupt(step, numbers):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(tmp_path, "x.tif", report=interrupt)
    assert not any((tmp_path / "out").iterdir())
    assert len(split(tmp_path, "x.tif")) == 5


def test_a_plane_never_replaces_a_stack_that_is_to_be_split(tmp_path):
    for name in ("x", "x_0"):
        stack = np.zeros((5, 8, 9), np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    paths = [tmp_path / "x.tif", tmp_path / "x_0.tif"]
    with pytest.raises(ConfigError, match=r"x_0\.tif: is an input of this command"):
        split_stacks(paths, tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="two outputs would be written there"):
        split_stacks([paths[0]] * 2, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tif", "x_0.tif"]
