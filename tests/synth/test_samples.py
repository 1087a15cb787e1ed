"""The bands are those of the competition's own annotations and of 32 of its pictures."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, uniform_filter

from cellflow.data.rle import masks_to_dense
from cellflow.errors import ConfigError
from cellflow.synth.samples import COMPOSERS, draw_field

N_FIELDS = 5
BANDS = {
    "cort": {
        "count": (22, 50),
        "area": (200, 280),
        "diameter": (14.5, 18.5),
        "overlap": (0.12, 0.36),
        "spread": (9, 18),
        "inside": (19, 33),
    },
    "shsy5y": {
        "count": (230, 470),
        "area": (190, 290),
        "diameter": (14.5, 19),
        "overlap": (0.52, 0.78),
        "spread": (8, 16),
        "inside": (11, 20),
    },
    "astro": {
        "count": (45, 125),
        "area": (700, 1300),
        "diameter": (26, 38),
        "overlap": (0.78, 0.98),
        "spread": (5, 12),
        "inside": (5, 16),
    },
}


def _numbers(image, masks):
    stack = masks_to_dense(masks)
    cover = stack.sum(axis=0)
    image = image.astype(float)
    local = uniform_filter(image**2, 7) - uniform_filter(image, 7) ** 2
    return {
        "count": len(stack),
        "area": masks.areas.mean(),
        "diameter": np.median(2 * np.sqrt(masks.areas / np.pi)),
        "overlap": np.mean([(cover[mask] > 1).any() for mask in stack]),
        "spread": image.std(),
        "inside": np.sqrt(np.median(local[cover > 0])),
    }


@pytest.fixture(scope="module", params=COMPOSERS)
def fields(request):
    rngs = [np.random.default_rng([11, seed]) for seed in range(N_FIELDS)]
    return request.param, [draw_field(request.param, rng) for rng in rngs]


def test_the_fields_are_like_the_competitions(fields):
    cell_type, drawn = fields
    numbers = [_numbers(*field) for field in drawn]
    means = {name: np.mean([each[name] for each in numbers]) for name in numbers[0]}
    for name, (low, high) in BANDS[cell_type].items():
        assert low <= means[name] <= high, (name, means)


def test_the_background_is_grey_and_quiet(fields):
    for image, masks in fields[1]:
        free = ~binary_dilation(masks_to_dense(masks).any(axis=0), iterations=6)
        assert image[free].mean() == pytest.approx(128, abs=0.7)
        assert image.mean() == pytest.approx(128, abs=0.3)
        assert image.shape == (520, 704)
        assert image.dtype == np.uint8


def test_the_same_generator_gives_the_same_field():
    (first, masks), (second, again) = (
        draw_field("cort", np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(masks.starts, again.starts)
    np.testing.assert_array_equal(masks.lengths, again.lengths)


def test_an_unknown_cell_type_is_refused(rng):
    with pytest.raises(ConfigError, match="expected cort, shsy5y, astro, found 'hela'"):
        draw_field("hela", rng)
