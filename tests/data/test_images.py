"""Pictures come back as they were written, at full depth; broken ones are named."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from cellflow.data.images import find_images, left_out_text, list_images, read_image, write_png
from cellflow.data.label_images import read_label_image, write_label_tiff
from cellflow.errors import ImageError, LabelError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_png_keeps_depth_and_channels(tmp_path, rng, dtype, shape):
    pixels = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    path = tmp_path / "ä b.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    expected = pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    assert (read_image(path) == expected).all()


def test_alpha_is_dropped(tmp_path, rng):
    pixels = rng.integers(0, 255, (5, 7, 4), np.uint8)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    assert read_image(tmp_path / "a.png").shape == (3, 5, 7)
    Image.fromarray(pixels[..., :2].copy(), mode="LA").save(tmp_path / "g.png")
    assert (read_image(tmp_path / "g.png") == pixels[..., 0]).all()


def test_compressed_tiff_and_jpeg_are_read(tmp_path, rng):
    pixels = rng.integers(0, 60000, (20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.TIF", pixels, compression="lzw")
    assert (read_image(tmp_path / "a.TIF") == pixels).all()
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode((pixels // 256).astype(np.uint8)))
    assert read_image(tmp_path / "a.jpg").shape == (20, 30)


def test_the_inks_of_printing_are_no_colours(tmp_path, rng):
    pixels = rng.integers(0, 255, (20, 30, 4), np.uint8)
    Image.fromarray(pixels, mode="CMYK").save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="separated")
    for name in ("a.jpg", "a.tif"):
        with pytest.raises(
            ImageError, match=rf"{name}: expected grey .* found printing inks .*CMYK"
        ):
            read_image(tmp_path / name)


def test_a_stack_of_planes_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "z.tif", np.zeros((9, 8, 7), np.uint8))
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / "z.tif")
    assert str(error.value) == (
        f"{tmp_path / 'z.tif'}: expected at most 4 channels, found 9 (shape (9, 8, 7), axes QYX); "
        "save the channel of the cells as a file of its own (`cellflow split` writes one file a "
        "plane, also of a stack)"
    )


@pytest.mark.parametrize("n_pages", [2, 3, 4])
def test_pages_are_a_stack_however_few_and_an_array_of_planes_is_not(tmp_path, rng, n_pages):
    planes = rng.integers(0, 255, (n_pages, 20, 30), np.uint8)
    pages = [Image.fromarray(plane) for plane in planes]
    pages[0].save(tmp_path / "pillow.tif", save_all=True, append_images=pages[1:])
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for plane in planes:
            file.write(plane, photometric="minisblack", metadata=None)
    with tifffile.TiffWriter(tmp_path / "series.tif") as file:
        for plane in planes:
            file.write(plane)
    for name in ("pillow.tif", "pages.tif", "series.tif"):
        with pytest.raises(ImageError, match=rf"{name}: expected one picture, found a stack"):
            read_image(tmp_path / name)
    tifffile.imwrite(tmp_path / "array.tif", planes, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "array.tif"), planes)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_truncated_missing_and_foreign_files_are_named(tmp_path, rng, suffix):
    pixels = rng.integers(0, 255, (64, 64), np.uint8)
    encode = {"png": imagecodecs.png_encode, "jpg": imagecodecs.jpeg_encode}
    path = tmp_path / f"broken.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, pixels, compression="zlib")
    else:
        path.write_bytes(encode[suffix](pixels))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=rf"broken\.{suffix}"):
        read_image(path)
    path.write_bytes(b"hello")
    with pytest.raises(ImageError, match=rf"broken\.{suffix}"):
        read_image(path)
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / f"none.{suffix}")


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ImageError, match=r"unknown kind of image; known: .*\.png"):
        read_image(tmp_path / "a.czi")


def test_label_images_keep_more_than_255_cells(tmp_path):
    labels = np.arange(800, dtype=np.int32).reshape(20, 40)
    write_label_tiff(tmp_path / "l.tif", labels)
    assert tifffile.imread(tmp_path / "l.tif").dtype == np.uint16
    assert (read_label_image(tmp_path / "l.tif") == labels).all()
    write_label_tiff(tmp_path / "l.tif", labels * 100)
    assert (read_label_image(tmp_path / "l.tif") == labels * 100).all()


def test_the_indices_of_a_palette_are_the_labels(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    for name in ("p.png", "p.tif"):
        picture.save(tmp_path / name)
        assert read_label_image(tmp_path / name).tolist() == [[0, 1], [2, 1]]
        assert read_image(tmp_path / name)[:2].tolist() == [
            [[0, 255], [0, 255]],
            [[0, 0], [255, 0]],
        ]


def test_imagejs_palette_and_inverted_greys_are_only_how_it_shows_the_numbers(tmp_path):
    greys = np.arange(6, dtype=np.uint8).reshape(2, 3)
    lut = np.zeros((3, 256), np.uint16)
    lut[1] = np.arange(256) * 257
    for options in ({"photometric": "miniswhite"}, {"photometric": "palette", "colormap": lut}):
        tifffile.imwrite(tmp_path / "a.tif", greys, description="ImageJ=1.54f\n", **options)
        assert read_image(tmp_path / "a.tif").tolist() == greys.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_])
def test_grey_levels_from_white_to_black_are_turned_around(tmp_path, dtype):
    pixels = np.array([[0, 1], [1, 0]], dtype)
    tifffile.imwrite(tmp_path / "w.tif", pixels, photometric="miniswhite")
    white = True if dtype == np.bool_ else np.iinfo(dtype).max
    assert (read_image(tmp_path / "w.tif") == np.where(pixels, white - 1, white)).all()
    assert read_label_image(tmp_path / "w.tif").tolist() == [[0, 1], [1, 0]]


def test_the_alpha_channel_of_a_grey_tiff_is_dropped(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(np.stack([grey, 255 - grey], -1), "LA").save(tmp_path / "la.tif")
    assert read_image(tmp_path / "la.tif").tolist() == grey.tolist()


@pytest.mark.parametrize(("dtype", "number"), [(bool, 1), (np.uint8, 1), (np.uint8, 255)])
def test_a_mask_in_black_and_white_is_one_cell_or_refused(tmp_path, dtype, number):
    mask = np.zeros((5, 9), dtype)
    mask[1:3, 1:3] = mask[3, 3] = number
    paths = [tmp_path / "m.png", tmp_path / "m.tif"]
    for path in paths:
        Image.fromarray(mask).save(path)
        # A PNG of one bit is read as 0 and 255.
        assert ((read_label_image(path) > 0) == (mask > 0)).all()
    mask[2, 7] = number
    for path in paths:
        Image.fromarray(mask).save(path)
        with pytest.raises(
            LabelError, match=r"black-and-white mask, whose 2 pieces all have the num"
        ):
            read_label_image(path)
    write_label_tiff(paths[1], (mask > 0).astype(np.int32))
    assert (read_label_image(paths[1]) == (mask > 0)).all()
    write_png(paths[0], np.where(mask, 1, 2).astype(np.uint8))
    assert (read_label_image(paths[0]) == np.where(mask, 1, 2)).all()


def test_a_jpeg_is_no_label_image(tmp_path):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "l.JPG", "JPEG")
    with pytest.raises(LabelError, match="a JPEG cannot hold labels"):
        read_label_image(tmp_path / "l.JPG")


def test_colours_fractions_and_negatives_are_no_labels(tmp_path):
    write_png(tmp_path / "c.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(LabelError, match="one channel, found 3"):
        read_label_image(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "f.tif", np.full((4, 4), 3, np.float32))
    assert (read_label_image(tmp_path / "f.tif") == 3).all()
    for wrong in (0.5, np.nan):
        tifffile.imwrite(tmp_path / "f.tif", np.full((4, 4), wrong, np.float32))
        with pytest.raises(LabelError, match="expected whole numbers as labels, found fractions"):
            read_label_image(tmp_path / "f.tif")
    tifffile.imwrite(tmp_path / "n.tif", np.full((4, 4), -1, np.int16))
    with pytest.raises(LabelError, match="between 0 and"):
        read_label_image(tmp_path / "n.tif")


def test_images_are_listed_in_natural_order(tmp_path):
    for name in ("a10.png", "a2.png", ".hidden.png", "notes.txt", "B1.TIF"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_images(tmp_path)] == ["B1.TIF", "a2.png", "a10.png"]


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(ImageError, match="no images; looked for"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="no such folder"):
        list_images(tmp_path / "none")


def test_the_competitions_folder_stands_for_its_test_images(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "train.csv").write_text("")
    (tmp_path / "test" / "a.png").write_bytes(b"")
    assert find_images([tmp_path, tmp_path / "x.png"]) == [
        tmp_path / "test" / "a.png",
        tmp_path / "x.png",
    ]


def test_label_images_beside_their_pictures_are_not_pictures(tmp_path):
    for name in ("x.tif", "x_masks.tif", "y_cp_masks.png", "y.png", "z_masks.png"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images([tmp_path])] == ["x.tif", "y.png", "z_masks.png"]


def test_cellposes_own_pictures_are_told_from_their_label_images(tmp_path):
    for name in ("000_img.png", "000_masks.png", "001_img.tif", "001_cp_masks.png"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images([tmp_path])] == ["000_img.png", "001_img.tif"]


def test_what_looks_like_pictures_and_is_left_out_is_said(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    assert left_out_text([tmp_path]) == ""
    for name in ("b.bmp", "c.CZI"):
        (tmp_path / name).write_bytes(b"")
    write_png(tmp_path / "well 1" / "d.png", np.zeros((4, 4), np.uint8))
    assert left_out_text([tmp_path, tmp_path / "a.png"]) == (
        "left out: 2 files of unsupported kinds (b.bmp), 1 image in subfolders (well 1/d.png)"
    )
