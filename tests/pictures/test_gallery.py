import numpy as np
import pytest

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.pictures.gallery import TILE, draw_tile, gallery

LABELS = np.zeros((20, 30), int)
LABELS[4:9, 4:9] = 1


def test_a_tile_has_its_caption_and_outlines():
    bare = draw_tile(np.zeros((20, 30)), None, "x")
    drawn = draw_tile(np.zeros((20, 30)), LABELS, "x")
    assert bare.shape == drawn.shape == (20 + 26, 30, 3)
    assert (bare[26:] == 0).all()
    assert (drawn[26:] != 0).any(axis=-1).sum() == 16


def test_a_large_image_is_reduced_and_keeps_its_proportions():
    assert draw_tile(np.zeros((2000, 1000)), None, "x").shape == (TILE + 26, TILE // 2, 3)
    assert draw_tile(np.zeros((1, 5000)), None, "x").shape == (1 + 26, TILE, 3)


@pytest.mark.parametrize(("n_tiles", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (7, 3, 3)])
def test_tiles_fill_rows_of_three(tmp_path, n_tiles, rows, columns):
    tiles = [draw_tile(np.zeros((20, 30)), LABELS, "x")] * n_tiles
    gallery(tmp_path / "g.png", "cort", tiles)
    sheet = read_image(tmp_path / "g.png")
    assert sheet.shape == (3, 38 + 46 * rows, 30 * columns + 8 * (columns - 1))


def test_a_sheet_without_tiles_is_refused(tmp_path):
    with pytest.raises(ImageError, match="no image to put on the sheet"):
        gallery(tmp_path / "g.png", "cort", [])
