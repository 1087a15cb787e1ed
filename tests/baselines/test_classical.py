"""Threshold and watershed: it finds what is easy, and tuning helps."""

import numpy as np
import pytest

from cellflow.baselines.classical import ClassicalConfig, segment_classical, tune_classical
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError, ImageError
from cellflow.metrics.average_precision import average_precision
from cellflow.records import Sample


def dark_discs(rng):
    yy, xx = np.indices((120, 160))
    labels = np.zeros((120, 160), np.int32)
    for label, (y, x) in enumerate([(30, 30), (30, 90), (80, 50), (80, 120)], start=1):
        labels[(yy - y) ** 2 + (xx - x) ** 2 < 120] = label
    image = 128 - 60 * (labels > 0) + rng.normal(0, 3, labels.shape)
    return Sample(name="discs", image=image.astype(np.uint8), masks=labels_to_masks(labels))


def test_separate_discs_are_found(rng):
    config = ClassicalConfig(signal="dark", smoothing=2, threshold=8, halo=0)
    sample = dark_discs(rng)
    labels = segment_classical(sample.image, config)
    assert np.unique(labels).tolist() == [0, 1, 2, 3, 4]
    assert average_precision(sample.masks, labels).precision[0] == 1


def test_a_flat_image_has_no_cells():
    assert not segment_classical(np.full((40, 40), 7, np.uint8), ClassicalConfig()).any()


@pytest.mark.parametrize("what", [np.nan, np.inf])
def test_an_image_with_a_number_that_is_none_is_refused(rng, what):
    image = dark_discs(rng).image.astype(np.float32)
    image[0, 0] = what
    with pytest.raises(ImageError, match="holds NaN or infinity"):
        segment_classical(image, ClassicalConfig())


def test_tuning_never_ends_below_the_defaults(rng):
    sample = dark_discs(rng)
    default = average_precision(sample.masks, segment_classical(sample.image, ClassicalConfig()))
    config, score = tune_classical([sample])
    assert score >= default.mean
    assert score > 0.5
    found = average_precision(sample.masks, segment_classical(sample.image, config))
    assert found.mean == pytest.approx(score)


def test_without_truth_there_is_nothing_to_tune_on():
    with pytest.raises(DataError, match="needs annotated images"):
        tune_classical([Sample(name="a", image=np.zeros((9, 9)))])
