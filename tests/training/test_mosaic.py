"""Mosaics: four fields side by side, and no flow from one into another."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflow.dynamics.follow import follow_flows
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import PreparedImage, crop_image, crop_labels, draw_warp
from cellflow.training.levels import LEVELS
from cellflow.training.mosaic import draw_fields, join_fields

SIZE = 64


def discs(seed, shape=(90, 80), n=40):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for value in range(1, n):
        cy, cx, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 9)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = value
    return labels


def source_of(labels, grey=1):
    image = np.full((1, *labels.shape), grey, np.float32)
    return PreparedImage.pack(image, labels_to_target(labels), labels)


def a_mosaic(seed, level="full"):
    """Four fields of four images whose grey level is the image's number, 1 to 4."""
    rng = np.random.default_rng(seed)
    fields = draw_fields(rng, SIZE)
    crops, cut_labels = [], []
    for number, field in enumerate(fields, 1):
        labels = discs(seed + number)
        source = source_of(labels, number)
        warp = draw_warp(rng, labels.shape, field.shape, levers=LEVELS[level])
        crops.append(crop_image(source, warp))
        cut_labels.append(crop_labels(source, warp))
    return fields, cut_labels, join_fields(fields, crops, cut_labels, SIZE)


def field_numbers(fields):
    numbers = np.zeros((SIZE, SIZE), int)
    for number, field in enumerate(fields, 1):
        numbers[field.rows, field.columns] += number
    return numbers


def test_the_fields_tile_the_crop_and_none_is_narrow():
    for seed in range(50):
        fields = draw_fields(np.random.default_rng(seed), SIZE)
        covered = sum(np.prod(field.shape) for field in fields)
        assert covered == SIZE**2
        assert (field_numbers(fields) > 0).all()
        assert min(min(field.shape) for field in fields) >= 0.29 * SIZE


def test_every_field_shows_its_own_image():
    fields, labels, crop = a_mosaic(3, "none")
    np.testing.assert_array_equal(crop.image[0], field_numbers(fields))
    for field, own in zip(fields, labels, strict=True):
        np.testing.assert_array_equal(crop.cells[field.rows, field.columns], own > 0)
    assert crop.inside.all()
    assert (crop.weights == 1).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 5))
def test_no_cell_pixel_flows_across_a_seam(seed):
    fields, _, crop = a_mosaic(seed)
    numbers = field_numbers(fields)
    # 0.2 of a pixel a step, so that a seam cannot be jumped over.
    ends, pixels = follow_flows(
        0.2 * crop.flows, np.where(crop.cells > 0, 1, -1).astype(np.float32), n_steps=400
    )
    row, column = np.rint(ends).astype(int)
    np.testing.assert_array_equal(numbers[row, column], numbers[tuple(pixels)])


def test_a_cell_that_a_seam_cuts_flows_towards_the_middle_of_what_is_seen():
    fields = draw_fields(np.random.default_rng(0), SIZE)
    seam = fields[0].rows.stop
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[seam - 6 : seam + 30, 4:14] = 1  # 6 rows of 36 lie in the upper left field
    source = PreparedImage.pack(
        np.ones((1, SIZE, SIZE), np.float32), labels_to_target(labels), labels
    )
    crops, own = [], []
    for field in fields:
        warp = draw_warp(Still(), labels.shape, field.shape, levers=LEVELS["none"])
        # The field's own place: its middle at the same place of the image.
        shift = (
            SIZE / 2 - (field.rows.start + field.rows.stop) / 2,
            SIZE / 2 - (field.columns.start + field.columns.stop) / 2,
        )
        warp = replace(warp, shift=shift)
        crops.append(crop_image(source, warp))
        own.append(crop_labels(source, warp))
    crop = join_fields(fields, crops, own, SIZE)
    np.testing.assert_array_equal(crop.cells, labels > 0)
    assert (crop.flows[0, seam - 1, 4:14] < 0).all()  # upwards, back into the field
    assert (crop.flows[0, seam - 6, 4:14] > 0).all()
    lower = labels_to_target(labels[seam:, :])
    np.testing.assert_allclose(crop.flows[:, seam:, :14], lower.flows[:, :, :14], atol=1e-4)


class Still:
    """Draws the middle of every range."""

    def random(self, n):
        return np.full(n, 0.5)


@pytest.mark.parametrize("value", [0, 1])
def test_fields_without_cells_or_full_of_one_cell_join(value):
    fields = draw_fields(np.random.default_rng(1), SIZE)
    labels = np.full((SIZE, SIZE), value, np.int32)
    source = PreparedImage.pack(
        np.ones((1, SIZE, SIZE), np.float32), labels_to_target(labels), labels
    )
    rng = np.random.default_rng(2)
    warps = [draw_warp(rng, labels.shape, f.shape, levers=LEVELS["none"]) for f in fields]
    crops = [crop_image(source, warp) for warp in warps]
    crop = join_fields(fields, crops, [crop_labels(source, warp) for warp in warps], SIZE)
    assert np.isfinite(crop.flows).all()
    assert (crop.cells == value).all()
    assert bool(crop.flows.any()) is bool(value)
