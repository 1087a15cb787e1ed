"""Pictures and cells of the viewer keep within the room that they are given."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from unpacking import unpack_cells, unpack_numbers

from cellflow.data.images import write_png
from cellflow.data.rle import dense_to_masks, masks_to_dense
from cellflow.errors import ImageError
from cellflow.report.blocks import LONGEST_SIDE, QUALITIES, image_blocks
from cellflow.report.subject import Subject

SHAPE = (60, 80)


def box(top, left, height=10, width=10):
    mask = np.zeros((1, *SHAPE), bool)
    mask[0, top : top + height, left : left + width] = True
    return dense_to_masks(mask)


@pytest.fixture
def subject(tmp_path, rng):
    """Five images of noise; the model finds the cell a little to the right."""
    names = tuple(f"i{k}" for k in range(5))
    for name in names:
        write_png(tmp_path / f"{name}.png", rng.integers(0, 256, SHAPE).astype(np.uint8))
    return Subject(
        models=("m",),
        images=names,
        cell_types=(None,) * 5,
        truths={name: box(20, 20) for name in names},
        predicted=({name: box(20, 22) for name in names[1:]},),
        shapes=dict.fromkeys(names, SHAPE),
        pictures={name: tmp_path / f"{name}.png" for name in names},
    )


def picture_of(block):
    return Image.open(io.BytesIO(base64.b64decode(json.loads(block)["picture"])))


def test_cells_are_exact_and_say_what_became_of_them(subject):
    first, second, *_ = image_blocks(subject, range(5), 10**6).texts
    block = json.loads(second)
    (found,) = block["found"]
    np.testing.assert_array_equal(unpack_cells(block["truth"], SHAPE), masks_to_dense(box(20, 20)))
    np.testing.assert_array_equal(unpack_cells(found["cells"], SHAPE), masks_to_dense(box(20, 22)))
    # IoU 80 / 120 is above 0.50, 0.55, 0.60 and 0.65.
    assert unpack_numbers(found["levels"]) == unpack_numbers(found["truthLevels"]) == [4]
    assert unpack_numbers(found["iou"]) == [667]
    assert unpack_numbers(found["best"]) == unpack_numbers(found["truthBest"]) == [1]
    assert json.loads(first)["found"] == [None]


def test_with_room_the_pictures_are_of_the_best_quality(subject):
    blocks = image_blocks(subject, range(5), 10**6)
    assert blocks.quality == QUALITIES[0]
    assert blocks.n_left_out == 0
    assert picture_of(blocks.texts[0]).size == SHAPE[::-1]


def test_with_less_room_the_quality_falls_and_all_images_stay(subject):
    plenty = sum(map(len, image_blocks(subject, range(5), 10**6).texts))
    blocks = image_blocks(subject, range(5), int(0.75 * plenty))
    assert blocks.quality < QUALITIES[0]
    assert sum(map(len, blocks.texts)) <= 0.75 * plenty


@pytest.mark.parametrize("room", [-5, 0, 3000, 9000])
def test_without_enough_room_the_last_images_are_left_out(subject, room):
    order = [3, 1, 0, 2, 4]
    blocks = image_blocks(subject, order, room)
    kept = [text for text in blocks.texts if text is not None]
    assert blocks.n_left_out > 0
    assert blocks.texts[: len(kept)] == tuple(kept)
    assert sum(map(len, kept)) <= max(room, 0)


def test_a_large_picture_is_averaged_down_and_its_cells_stay_exact(tmp_path):
    shape = (100, 3 * LONGEST_SIDE)
    write_png(tmp_path / "a.png", np.zeros(shape, np.uint8))
    mask = np.zeros((1, *shape), bool)
    mask[0, 50, 4000] = True
    subject = Subject(
        models=("m",),
        images=("a",),
        cell_types=(None,),
        truths=None,
        predicted=({"a": dense_to_masks(mask)},),
        shapes={"a": shape},
        pictures={"a": tmp_path / "a.png"},
    )
    (block,) = image_blocks(subject, [0], 10**6).texts
    assert picture_of(block).size == (LONGEST_SIDE, 33)
    assert json.loads(block)["width"] == 3 * LONGEST_SIDE
    found = unpack_cells(json.loads(block)["found"][0]["cells"], shape)
    np.testing.assert_array_equal(found, mask)


def test_without_truth_cells_are_held_against_the_other_model(subject):
    both = replace(
        subject,
        models=("m", "n"),
        truths=None,
        predicted=(*subject.predicted, {"i1": box(20, 20)}),
    )
    block = json.loads(image_blocks(both, [1], 10**6).texts[0])
    assert block["truth"] is None
    assert [unpack_numbers(found["levels"]) for found in block["found"]] == [[4], [4]]
    assert "truthLevels" not in block["found"][0]
    alone = replace(subject, truths=None)
    assert json.loads(image_blocks(alone, [1], 10**6).texts[0])["found"][0].keys() == {"cells"}


def test_a_picture_that_cannot_be_read_leaves_its_cells_alone(subject, tmp_path):
    (tmp_path / "i1.png").write_bytes(b"no picture")
    blocks = image_blocks(subject, range(len(subject.images)), 10**7)
    assert list(blocks.unread) == ["i1"]
    assert "i1.png" in blocks.unread["i1"]
    for name, block in zip(subject.images, blocks.texts, strict=True):
        content = json.loads(block)
        assert (content["picture"] is None) == (name == "i1")
        assert content["truth"]


def test_pictures_of_another_size_are_refused_by_name(subject, tmp_path):
    write_png(tmp_path / "i1.png", np.zeros((60, 81), np.uint8))
    alone = replace(subject, pictures={"i1": tmp_path / "i1.png"})
    with pytest.raises(ImageError, match=r"i1.png: the picture is 60x81, the masks are for 60x80"):
        image_blocks(alone, range(5), 10**6)
