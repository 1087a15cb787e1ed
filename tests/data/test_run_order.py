import numpy as np
import pytest

from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.data.run_order import border_votes, direction_votes
from cellflow.records import CellMasks


def disc(shape=(60, 200), centre=(30, 90), radius=12):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def read_transposed(mask):
    """What a reader sees when the writer went down the columns."""
    return np.ravel(mask, order="F").reshape(mask.shape)


def test_a_round_cell_votes_for_rows():
    votes = direction_votes(labels_to_masks(disc()))
    assert votes.tolist() == [24, 0]


def test_a_round_cell_written_by_columns_votes_for_columns():
    votes = direction_votes(labels_to_masks(read_transposed(disc())))
    assert votes.tolist() == [0, 24]


def test_the_step_from_one_cell_to_the_next_does_not_vote():
    upper, lower = np.zeros((2, 60, 200), bool)
    upper[3, 5:9] = lower[4, 5:9] = True
    assert direction_votes(dense_to_masks(np.array([upper, lower]))).tolist() == [0, 0]


@pytest.mark.parametrize("height", [1, 2, 7, 20, 30, 31])
def test_in_a_flat_image_too_only_rows_vote(height):
    mask = disc((height, 200), (height // 2, 40), height / 3)
    other = disc((height, 200), (height // 2, 150), height / 3)
    n_rows = int(mask.any(axis=1).sum())
    votes = direction_votes(dense_to_masks(np.array([mask, other])))
    assert votes.tolist() == [2 * (n_rows - 1), 0]
    cells = dense_to_masks(np.array([read_transposed(mask), read_transposed(other)]))
    rows, columns = direction_votes(cells)
    assert rows == 0
    assert columns > 0 or height < 7


def test_square_images_do_not_vote():
    assert direction_votes(labels_to_masks(disc((200, 200)))).tolist() == [0, 0]


def test_no_cell_does_not_vote():
    assert direction_votes(CellMasks.empty((60, 200))).tolist() == [0, 0]
    assert border_votes(CellMasks.empty((60, 200))).tolist() == [0, 0]


def test_cells_at_the_right_border_stop_there():
    assert border_votes(labels_to_masks(disc(centre=(30, 199)))).tolist() == [25, 0]


def test_cells_at_the_left_border_go_over_the_end_when_all_lies_one_pixel_too_early():
    mask = disc(centre=(30, 0))
    shifted = np.roll(mask.ravel(), -1).reshape(mask.shape)
    assert border_votes(labels_to_masks(mask)).tolist() == [0, 0]
    # The uppermost and the lowermost row of the disc are one pixel long.
    assert border_votes(labels_to_masks(shifted)).tolist() == [2, 23]
