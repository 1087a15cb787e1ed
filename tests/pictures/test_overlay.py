import numpy as np
import pytest

from cellflow.data.images import read_image
from cellflow.errors import DataError, ImageError
from cellflow.pictures import overlay
from cellflow.pictures.colours import HIT, MISSED, SPURIOUS
from cellflow.pictures.overlay import draw_overlay, save_overlay

IMAGE = np.arange(30 * 40).reshape(30, 40)
LABELS = np.zeros((30, 40), int)
LABELS[5:15, 5:15], LABELS[5:15, 20:30] = 1, 2
PREDICTED = np.zeros((30, 40), int)
PREDICTED[5:15, 6:15], PREDICTED[20:28, 20:30] = 1, 2
CAPTION = 32


@pytest.mark.parametrize(
    ("sides", "n_panels"),
    [
        ({}, 1),
        ({"truth": LABELS}, 2),
        ({"predicted": LABELS}, 2),
        ({"truth": LABELS, "predicted": PREDICTED}, 3),
    ],
)
def test_each_side_that_is_given_has_its_panel(sides, n_panels):
    picture = draw_overlay(IMAGE, title="x", **sides)
    assert picture.shape == (60 + CAPTION, 80 * n_panels + 8 * (n_panels - 1), 3)
    np.testing.assert_array_equal(picture[CAPTION:, 0:80:2, 0], picture[CAPTION:, 1:80:2, 0])


def test_matches_are_coloured_when_both_sides_are_there():
    picture = draw_overlay(IMAGE, truth=LABELS, predicted=PREDICTED, colouring="matches")
    truth, predicted = picture[CAPTION:, 88:168], picture[CAPTION:, 176:]
    for panel, seen, unseen in ((truth, MISSED, SPURIOUS), (predicted, SPURIOUS, MISSED)):
        assert (panel == HIT).all(axis=-1).any()
        assert (panel == seen).all(axis=-1).any()
        assert not (panel == unseen).all(axis=-1).any()


def test_captions_count_cells_in_the_right_number(monkeypatch):
    captions, add_caption = [], overlay.add_caption

    def watched(picture, caption):
        captions.append(caption)
        return add_caption(picture, caption)

    monkeypatch.setattr(overlay, "add_caption", watched)
    draw_overlay(IMAGE, truth=LABELS, predicted=LABELS == 1)
    assert captions == ["image", "truth, 2 cells", "predicted, 1 cell"]


def test_with_one_side_only_matches_fall_back_to_one_colour_a_cell():
    alone = draw_overlay(IMAGE, truth=LABELS, colouring="matches")
    np.testing.assert_array_equal(alone, draw_overlay(IMAGE, truth=LABELS))


def test_the_file_holds_the_picture_and_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a é.png", "b.png"):
        save_overlay(tmp_path / "new folder" / name, IMAGE, truth=LABELS, title="é")
    first, second = sorted((tmp_path / "new folder").iterdir())
    assert first.read_bytes() == second.read_bytes()
    drawn = draw_overlay(IMAGE, truth=LABELS, title="é")
    np.testing.assert_array_equal(read_image(first), np.moveaxis(drawn, -1, 0))


def test_cells_of_another_size_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ImageError, match="the image is 30x40"):
        save_overlay(tmp_path / "x.png", IMAGE, predicted=LABELS[:20])
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write"):
        save_overlay(tmp_path / "file" / "x.png", IMAGE)
