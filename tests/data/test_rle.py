import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.data import rle_kernels as kernels
from cellflow.data.rle import (
    CellRleError,
    dense_to_masks,
    draw_cell,
    labels_to_masks,
    labels_to_rle,
    masks_to_dense,
    masks_to_rle,
    readable_masks,
    rle_to_masks,
)
from cellflow.errors import LabelError, RleError
from cellflow.records import CellMasks

PICTURE = np.array(
    [
        [0, 1, 1, 0, 2],
        [2, 1, 0, 0, 2],
        [2, 0, 0, 3, 3],
    ]
)

small_labels = arrays(
    np.int32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(0, 5),
)


def decode(texts, shape):
    """What the notebooks do: a mask of the whole image for every text."""
    stack = np.zeros((len(texts), shape[0] * shape[1]), bool)
    for mask, text in zip(stack, texts, strict=True):
        numbers = [int(number) for number in text.split()]
        for start, length in zip(numbers[::2], numbers[1::2], strict=True):
            mask[start - 1 : start - 1 + length] = True
    return stack.reshape(-1, *shape)


def test_a_picture_is_written_from_one_and_row_by_row():
    assert labels_to_rle(PICTURE) == ["2 2 7 1", "5 2 10 2", "14 2"]


def test_a_run_goes_on_in_the_next_row():
    masks = labels_to_masks(np.array([[0, 0, 1], [1, 1, 0]]))
    assert masks.starts.tolist() == [2]
    assert masks.lengths.tolist() == [3]


def test_labels_with_gaps_give_one_text_a_label_by_ascending_label():
    assert labels_to_rle(np.array([[70, 0, 7, 70]])) == ["3 1", "1 1 4 1"]


def test_readable_texts_are_read_beside_broken_ones():
    masks, kept, faults = readable_masks(["1 2", "x 2", "3 1", "4 9"], (2, 4))
    assert masks_to_rle(masks) == ["1 2", "3 1"]
    assert kept == [0, 2]
    assert [fault.cell for fault in faults] == [1, 3]
    assert faults[1].reason == "run 4+9 ends outside a 4x2 image"


@given(small_labels)
def test_labels_survive_the_way_through_text(labels):
    stack = masks_to_dense(rle_to_masks(labels_to_rle(labels), labels.shape))
    values = [value for value in np.unique(labels) if value]
    assert len(stack) == len(values)
    for mask, value in zip(stack, values, strict=True):
        np.testing.assert_array_equal(mask, labels == value)


@given(small_labels)
def test_runs_that_the_kernels_made_pass_the_checks_of_the_record(labels):
    made = labels_to_masks(labels)
    for masks in (made, rle_to_masks(masks_to_rle(made), made.shape)):
        again = CellMasks(
            starts=masks.starts, lengths=masks.lengths, offsets=masks.offsets, shape=masks.shape
        )
        assert len(again) == len(made) == len(np.unique(labels[labels > 0]))


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 170, 171, 172, 511, 512, 513, 514, 1025])
def test_changes_are_found_at_every_place_of_a_stretch(width, rng):
    for share in (0.01, 0.5, 1):
        labels = rng.integers(1, 4, (3, width)) * (rng.random((3, width)) < share)
        stack = masks_to_dense(labels_to_masks(labels.astype(np.int32)))
        values = [value for value in np.unique(labels) if value]
        np.testing.assert_array_equal(stack, [labels == value for value in values] or stack)


@pytest.mark.needs_jit
def test_the_kernels_do_what_their_python_does(rng):
    flat = np.repeat(rng.integers(0, 4, 60), rng.integers(1, 40, 60)).astype(np.int32)
    changes = [np.zeros(flat.size, np.int64) for _ in range(2)]
    ends = kernels.list_changes(flat, 1, changes[0], 1)
    assert ends == kernels.list_changes.py_func(flat, 1, changes[1], 1)
    bounds = np.append(changes[0][: ends[1]], flat.size)
    np.testing.assert_array_equal(changes[0][: ends[1]], changes[1][: ends[1]])
    assert kernels.label_range(flat, bounds) == kernels.label_range.py_func(flat, bounds)
    runs = kernels.sort_runs(flat, bounds, 3)
    for ours, theirs in zip(runs, kernels.sort_runs.py_func(flat, bounds, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    texts = [np.zeros(2000, np.uint8) for _ in range(2)]
    cell_ends = [np.zeros(3, np.int64) for _ in range(2)]
    kernels.format_runs(*runs, texts[0], cell_ends[0])
    kernels.format_runs.py_func(*runs, texts[1], cell_ends[1])
    np.testing.assert_array_equal(*texts)
    np.testing.assert_array_equal(*cell_ends)
    text = np.frombuffer(b"1 2 5 1\n3 4 x", np.uint8)
    for whole in (text[:11], text):
        numbers = [np.zeros(20, np.int64) for _ in range(2)]
        counts = [np.zeros(2, np.int64) for _ in range(2)]
        found = kernels.parse_numbers(whole, numbers[0], counts[0])
        assert found == kernels.parse_numbers.py_func(whole, numbers[1], counts[1])
        np.testing.assert_array_equal(*numbers)
    pairs = np.array([1, 2, 5, 1, 3, 4])
    for n_pixels in (6, 5):
        tables = [(np.zeros(3, np.int64), np.zeros(3, np.int32), np.zeros(3, np.int64))] * 2
        found = kernels.check_runs(pairs, np.array([4, 6]), n_pixels, *tables[0])
        assert found == kernels.check_runs.py_func(pairs, np.array([4, 6]), n_pixels, *tables[1])


@given(small_labels)
def test_text_reads_as_the_notebooks_read_it(labels):
    texts = labels_to_rle(labels)
    stack = masks_to_dense(rle_to_masks(texts, labels.shape))
    np.testing.assert_array_equal(stack, decode(texts, labels.shape))


@given(arrays(np.bool_, st.tuples(st.integers(0, 4), st.integers(1, 7), st.integers(1, 7))))
def test_overlapping_masks_survive_the_way_through_text(stack):
    stack = stack[stack.any((1, 2))]
    masks = dense_to_masks(stack)
    again = rle_to_masks(masks_to_rle(masks), stack.shape[1:])
    np.testing.assert_array_equal(masks_to_dense(again), stack)
    np.testing.assert_array_equal(again.areas, stack.sum((1, 2)))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.int64, np.uint64, ">i4"])
def test_every_kind_of_whole_number_is_a_label(dtype):
    assert labels_to_rle(np.array([[0, 1], [1, 0]]).astype(dtype)) == ["2 2"]


@pytest.mark.parametrize("view", [np.transpose, np.fliplr, lambda labels: labels[::2, ::2]])
def test_an_image_need_not_be_contiguous(view):
    assert labels_to_rle(view(PICTURE)) == labels_to_rle(view(PICTURE).copy())


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (np.zeros((3, 4), int), []),
        (np.zeros((0, 4), int), []),
        (np.ones((1, 1), int), ["1 1"]),
        (np.ones((3, 4), int), ["1 12"]),
        (np.pad([[1]], ((0, 2), (3, 0))), ["4 1"]),
        (np.array([[5_000_000_000, 0], [9, 9]]), ["3 2", "1 1"]),
        (np.array([[2**63, 1]], np.uint64), ["2 1", "1 1"]),
        (np.array([[0, 300]], np.uint16), ["2 1"]),
    ],
    ids=["none", "no-pixel", "one-pixel", "full", "corner", ">int32", ">int64", ">uint8"],
)
def test_edges_of_labels(labels, texts):
    assert labels_to_rle(labels) == texts


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2)), "2-D float64"),
        (np.zeros((2, 2, 2), int), "3-D int64"),
        (np.array([[0, -3]]), "found -3"),
    ],
)
def test_what_is_no_label_image_is_refused(labels, message):
    with pytest.raises(LabelError, match=message):
        labels_to_masks(labels)


def test_an_empty_mask_in_a_stack_is_refused():
    with pytest.raises(LabelError, match="cell 1 has no pixel"):
        dense_to_masks(np.array([[[1]], [[0]]], bool))


def test_no_text_is_no_cell():
    masks = rle_to_masks([], (520, 704))
    assert len(masks) == 0
    assert masks.shape == (520, 704)
    assert masks_to_rle(masks) == []
    assert masks_to_dense(masks).shape == (0, 520, 704)


def test_runs_that_touch_become_one():
    assert masks_to_rle(rle_to_masks(["3 2 5 1 7 1"], (2, 4))) == ["3 3 7 1"]


def test_spaces_around_and_between_numbers_do_not_matter():
    assert masks_to_rle(rle_to_masks(["  3 2   7 1 "], (2, 4))) == ["3 2 7 1"]


def test_overlapping_cells_are_kept():
    masks = rle_to_masks(["1 4", "3 4"], (2, 4))
    assert masks_to_dense(masks).sum(0).tolist() == [[1, 1, 2, 2], [1, 1, 0, 0]]


def test_many_digits_come_out_right_at_every_decade():
    shape = (1001, 1000)
    texts = [f"{10**n} {10**m}" for n, m in itertools.product(range(6), repeat=2)]
    assert masks_to_rle(rle_to_masks(texts, shape)) == texts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the run-length text is empty"),
        ("   ", "the run-length text is empty"),
        ("3 2 5", r"an odd count of numbers \(3\)"),
        ("a 2", "expected whole numbers of at most 18 digits, found 'a 2'"),
        ("1.5 2", "expected whole numbers"),
        ("1,2", "expected whole numbers"),
        ("1 - 2", "expected whole numbers"),
        ("nan nan", "expected whole numbers"),
        ("1e3 2", "expected whole numbers"),
        ("é 2", "expected whole numbers of at most 18 digits, found 'é 2'"),
        ("1 2\n3 4", "a line break"),
        ("9999999999999999999 1", "expected whole numbers"),
        ("0 2", r"run 0\+2 must start at 1 or more"),
        ("-4 2", r"run -4\+2 must start at 1 or more"),
        ("3 0", r"run 3\+0 must start at 1 or more and have a length of 1"),
        ("3 -1", r"run 3\+-1 must"),
        ("7 1 3 2", r"run 3\+2 starts before the end of the run 7\+1"),
        ("3 3 5 2", r"run 5\+2 starts before the end of the run 3\+3"),
        ("8 2", r"run 8\+2 ends outside a 4x2 image"),
        ("9 1", r"run 9\+1 ends outside a 4x2 image"),
        ("1 999999999999999999", "ends outside a 4x2 image"),
        ("999999999999999999 1", "ends outside a 4x2 image"),
    ],
)
def test_a_broken_text_is_refused_with_its_cell_and_reason(text, reason):
    with pytest.raises(CellRleError, match=reason) as caught:
        rle_to_masks(["1 1", text], (2, 4))
    assert caught.value.cell == 1
    assert isinstance(caught.value, RleError)


def test_a_long_broken_text_is_quoted_in_part():
    with pytest.raises(CellRleError, match="…'") as caught:
        rle_to_masks(["1 1 " * 1000 + "x"], (2, 4))
    assert len(str(caught.value)) < 120


def test_the_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(CellRleError(3, "no good")))
    assert (error.cell, error.reason, str(error)) == (3, "no good", "cell 3: no good")


@given(st.text(st.sampled_from("0123456789 -x"), max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        masks = rle_to_masks([text], (4, 5))
    except CellRleError:
        return
    np.testing.assert_array_equal(masks_to_dense(masks), decode([text], (4, 5)))


def test_a_cell_is_drawn_in_its_box_with_a_margin_as_far_as_the_image_goes():
    labels = np.zeros((4, 6), int)
    labels[1, 0] = labels[2, :2] = 1
    labels[3, 5] = 2
    masks = labels_to_masks(labels)
    assert draw_cell(masks, 0).tolist() == [[True, False], [True, True]]
    assert (draw_cell(masks, 0, margin=1) == (labels[0:4, 0:3] == 1)).all()
    assert (draw_cell(masks, 1, margin=2) == (labels[1:4, 3:6] == 2)).all()


def test_labels_may_be_nested_lists():
    assert labels_to_rle([[1, 1, 0, 2], [1, 1, 0, 2]]) == ["1 2 5 2", "4 1 8 1"]
    assert labels_to_masks([[0, 3]]).areas.tolist() == [1]


@pytest.mark.parametrize("text", [None, float("nan"), b"1 2", [1, 2]])
def test_what_is_no_text_is_refused_with_its_cell(text):
    with pytest.raises(CellRleError, match="cell 1: expected a run-length text, found"):
        rle_to_masks(["1 2", text], (4, 4))


def test_a_single_text_is_no_list_of_them():
    with pytest.raises(RleError, match="found a single text"):
        rle_to_masks("1 2", (4, 4))


def test_a_lone_surrogate_is_no_digit():
    with pytest.raises(CellRleError, match="expected whole numbers"):
        rle_to_masks(["1 \ud800"], (4, 4))


def test_the_shape_may_be_that_of_an_array_and_must_be_two_sides():
    assert rle_to_masks(["1 2"], np.zeros((4, 4)).shape).shape == (4, 4)
    with pytest.raises(LabelError, match="shape: expected"):
        rle_to_masks(["1 2"], (4, 4, 3))
