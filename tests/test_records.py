"""Records are checked once, when they are made, and say what is wrong."""

import numpy as np
import pytest

from cellflow.errors import ImageError, LabelError
from cellflow.records import CellMasks, Detections, FlowField, FlowTarget, Prediction, Sample


def masks(runs, shape=(4, 5)):
    """Cells from ``[[(start, length), ...], ...]``."""
    flat = [run for cell in runs for run in cell]
    return CellMasks(
        starts=np.array([start for start, _ in flat], np.int64),
        lengths=np.array([length for _, length in flat], np.int32),
        offsets=np.cumsum([0, *[len(cell) for cell in runs]], dtype=np.int64),
        shape=shape,
    )


def test_masks_know_their_number_areas_and_diameters():
    two = masks([[(0, 2), (5, 2)], [(19, 1)]])
    assert len(two) == 2
    assert two.areas.tolist() == [4, 1]
    assert two.diameters.round(3).tolist() == [2.257, 1.128]


def test_masks_of_one_image_can_be_put_one_after_the_other():
    first, second = masks([[(0, 2), (5, 2)]]), masks([[(19, 1)], [(3, 1)]])
    both = CellMasks.concatenate([first, CellMasks.empty((4, 5)), second])
    assert both.areas.tolist() == [4, 1, 1]
    assert both.select(np.array([2])).starts.tolist() == [3]
    with pytest.raises(LabelError, match="one size, found 4x5, 5x4"):
        CellMasks.concatenate([first, masks([], shape=(5, 4))])
    with pytest.raises(LabelError, match="found nothing"):
        CellMasks.concatenate([])


def test_an_image_without_cells_has_no_masks_and_no_areas():
    none = CellMasks.empty((4, 5))
    assert len(none) == 0
    assert none.areas.shape == (0,)
    assert none.n_overlapping == 0
    assert len(none.select(np.zeros(0, np.int64))) == 0


def test_a_cell_may_fill_the_image():
    assert masks([[(0, 20)]]).areas.tolist() == [20]


def test_cells_may_overlap_each_other():
    assert masks([[(0, 3)], [(1, 3)], [(4, 1)]]).n_overlapping == 2


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([[(0, 2), (1, 2)]], "must not overlap or touch"),
        ([[(0, 2), (2, 2)]], "must not overlap or touch"),
        ([[(5, 2), (0, 2)]], "must ascend"),
        ([[(18, 3)]], "outside the 4x5 image"),
        ([[(-1, 3)]], "outside the 4x5 image"),
        ([[(3, 0)]], "is empty"),
        ([[(3, 1)], []], "cell 1 has no pixel"),
    ],
)
def test_broken_runs_are_refused_with_the_reason(runs, message):
    with pytest.raises(LabelError, match=message):
        masks(runs)


def test_offsets_must_cover_all_runs():
    with pytest.raises(LabelError, match="offsets must go from 0 to 1"):
        CellMasks(
            starts=np.zeros(1, np.int64),
            lengths=np.ones(1, np.int32),
            offsets=np.zeros(1, np.int64),
            shape=(2, 2),
        )


def test_starts_and_lengths_must_have_equal_numbers():
    with pytest.raises(LabelError, match="2 run starts but 1 run lengths"):
        CellMasks(
            starts=np.array([0, 2]),
            lengths=np.ones(1, np.int32),
            offsets=np.array([0, 2]),
            shape=(2, 2),
        )


def test_a_wrong_dtype_is_named():
    with pytest.raises(LabelError, match="starts: expected int64, found int32"):
        CellMasks(
            starts=np.zeros(1, np.int32),
            lengths=np.ones(1, np.int32),
            offsets=np.array([0, 1]),
            shape=(2, 2),
        )


def test_select_gives_cells_in_the_order_asked_for():
    three = masks([[(0, 2), (5, 2)], [(19, 1)], [(7, 3)]])
    chosen = three.select(np.array([2, 0]))
    assert chosen.starts.tolist() == [7, 0, 5]
    assert chosen.areas.tolist() == [3, 4]
    kept = three.select(np.array([True, False, True]))
    assert kept.areas.tolist() == [4, 3]


def test_a_sample_whose_masks_are_for_another_size_is_refused_by_name():
    with pytest.raises(ImageError, match="image abc: masks are for 4x5, the image is 4x6"):
        Sample(name="abc", image=np.zeros((4, 6), np.uint8), masks=masks([[(0, 1)]]))


def test_a_sample_image_has_two_or_three_axes():
    with pytest.raises(ImageError, match="image abc: expected"):
        Sample(name="abc", image=np.zeros(4, np.uint8))


def test_flow_records_check_their_shapes():
    with pytest.raises(LabelError, match=r"flows: expected shape \(2, 3, 3\)"):
        FlowTarget(flows=np.zeros((2, 3, 4), np.float32), cells=np.zeros((3, 3), bool))
    with pytest.raises(LabelError, match="style: expected float32"):
        FlowField(
            flows=np.zeros((2, 3, 3), np.float32),
            cellprob=np.zeros((3, 3), np.float32),
            style=np.zeros(256),
        )


def test_a_prediction_has_one_score_a_label():
    with pytest.raises(LabelError, match="image abc: 1 labels but 0 scores"):
        Prediction(name="abc", labels=np.ones((2, 2), np.int32), scores=np.zeros(0, np.float32))


def test_detections_have_one_score_and_type_a_mask():
    with pytest.raises(LabelError, match="1 masks but 2 scores or types"):
        Detections(name="abc", masks=masks([[(0, 1)]]), cell_types=("a", "b"))


def test_a_prediction_keeps_the_labels_of_cells_that_are_left():
    labels = np.array([[1, 0, 3, 0]], np.int32)
    edited = Prediction(name="abc", labels=labels, scores=np.ones(4, np.float32))
    assert edited.numbers.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([[1]], np.ones(1, np.float32), "labels: expected int32, found list"),
        (np.ones((1, 1, 1), np.int32), np.ones(1, np.float32), "labels: expected 2 axes"),
        (np.full((1, 1), -1, np.int32), np.ones(0, np.float32), "image abc: labels must be 0 or"),
        (np.ones((1, 1), np.int32), np.ones((1, 1), np.float32), "scores: expected 1 axes"),
    ],
)
def test_what_is_no_prediction_is_refused(labels, scores, reason):
    with pytest.raises(LabelError, match=reason):
        Prediction(name="abc", labels=labels, scores=scores)


def test_a_sample_image_is_an_array():
    with pytest.raises(ImageError, match="image abc: expected an array, found list"):
        Sample(name="abc", image=[[1]])


@pytest.mark.parametrize("shape", [[4, 5], np.array([4, 5]), (np.int64(4), np.int32(5))])
def test_masks_hold_their_shape_as_plain_integers(shape):
    found = CellMasks.empty(shape)
    assert found.shape == (4, 5)
    assert [type(side) for side in found.shape] == [int, int]


@pytest.mark.parametrize("shape", [(4, 5, 3), (4.0, 5.0), (-4, 5), 20, "45"])
def test_a_shape_is_two_whole_numbers(shape):
    with pytest.raises(LabelError, match="shape: expected"):
        CellMasks.empty(shape)


def test_records_are_shown_in_a_line():
    two = masks([[(0, 1)], [(2, 1)]])
    image = np.zeros((3, 4, 5), np.uint8)
    field = np.zeros((3, 4, 5), np.float32)
    shown = [
        two,
        Sample(name="abc", image=image, masks=two, cell_type="cort"),
        Sample(name="abc", image=image),
        FlowTarget(flows=field[:2], cells=np.zeros((4, 5), bool)),
        FlowField(flows=field[:2], cellprob=field[0], style=np.zeros(8, np.float32)),
        Prediction(name="abc", labels=np.eye(4, dtype=np.int32), scores=np.ones(1, np.float32)),
        Detections(name="abc", masks=two, scores=np.ones(2, np.float32)),
    ]
    assert [repr(one) for one in shown] == [
        "<CellMasks: 2 cells in 4x5>",
        "<Sample abc: 3x4x5 uint8, 2 cells, cort>",
        "<Sample abc: 3x4x5 uint8, no truth>",
        "<FlowTarget 4x5>",
        "<FlowField 4x5>",
        "<Prediction abc: 1 cell in 4x4>",
        "<Detections abc: 2 cells with scores in 4x5>",
    ]
