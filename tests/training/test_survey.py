"""Counts, diameters and hashes of a training folder."""

import math

import numpy as np
import pytest

from cellflow.data.dataset import Entry, masks_in_memory
from cellflow.data.images import write_png
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError, ImageError
from cellflow.training.survey import fingerprint, fingerprint_unseen, median_diameter, survey_images


@pytest.fixture
def entry_of(tmp_path):
    def make(name, labels, value=0):
        path = tmp_path / f"{name}.png"
        write_png(path, np.full(labels.shape, value, np.uint8))
        return Entry(
            name=name, image_path=path, read_masks=masks_in_memory(labels_to_masks(labels))
        )

    return make


def squares(*sides):
    labels = np.zeros((40, 40 * len(sides)), np.int32)
    for k, side in enumerate(sides):
        labels[:side, 40 * k : 40 * k + side] = k + 1
    return labels


def test_the_diameter_is_that_of_a_disc_of_equal_area(entry_of):
    (fact,) = survey_images([entry_of("a", squares(10, 20, 30))])
    np.testing.assert_allclose(fact.cell_diameters, 2 * np.array([10, 20, 30]) / math.sqrt(math.pi))
    assert fact.n_cells == 3
    assert fact.diameter == pytest.approx(40 / math.sqrt(math.pi))


def test_an_image_counts_as_one_or_by_its_cells(entry_of):
    facts = survey_images([entry_of("a", squares(10, 10, 10, 10, 10)), entry_of("b", squares(30))])
    one = 2 / math.sqrt(math.pi)
    assert median_diameter(facts, per_image=True) == pytest.approx(20 * one)
    assert median_diameter(facts, per_image=False) == pytest.approx(10 * one)


def test_one_pixel_cells_count_as_five_pixels_wide_and_no_cells_as_nothing(entry_of):
    tiny, none = survey_images([entry_of("a", squares(1)), entry_of("b", 0 * squares(1))])
    assert tiny.diameter == 5
    assert math.isnan(none.diameter)
    assert median_diameter([tiny, none], per_image=True) == 5
    assert math.isnan(median_diameter([none], per_image=False))


def test_the_fingerprint_sees_pixels_truth_and_names_but_not_the_order(entry_of):
    def key(*entries):
        return fingerprint(survey_images(entries))

    same = key(entry_of("a", squares(10)), entry_of("b", squares(12)))
    assert key(entry_of("b", squares(12)), entry_of("a", squares(10))) == same
    assert key(entry_of("a", squares(11)), entry_of("b", squares(12))) != same
    assert key(entry_of("a", squares(10)), entry_of("c", squares(12))) != same
    assert key(entry_of("a", squares(10), value=3), entry_of("b", squares(12))) != same


def test_a_broken_picture_and_masks_of_another_size_are_told_before_the_run(entry_of, tmp_path):
    entry = entry_of("a", squares(10))
    entry.image_path.write_bytes(entry.image_path.read_bytes()[:-20])
    with pytest.raises(ImageError, match=r"a\.png: broken image"):
        survey_images([entry])
    write_png(entry.image_path, np.zeros((40, 41), np.uint8))
    with pytest.raises(DataError, match="image a: masks are for 40x40, the image is 40x41"):
        survey_images([entry])


def test_the_fingerprint_needs_no_picture_decoded(entry_of):
    entries = [entry_of("a", squares(10)), entry_of("b", squares(20, 5))]
    assert fingerprint_unseen(entries) == fingerprint(survey_images(entries))
    entries[0].image_path.write_bytes(b"no picture")
    assert fingerprint_unseen(entries) != fingerprint_unseen([entry_of("a", squares(10))])


def test_an_image_that_is_gone_or_has_no_truth_is_named(entry_of, tmp_path):
    entry = entry_of("a", squares(10))
    entry.image_path.unlink()
    with pytest.raises(DataError, match=r"a\.png: cannot read"):
        survey_images([entry])
    with pytest.raises(DataError, match="image b: has no truth"):
        survey_images([Entry(name="b", image_path=tmp_path / "b.png")])
