"""Region pooling against a plain loop, written here from the paper's definition."""

import math

import numpy as np
import pytest
import torch

from cellflow.baselines import region_pooling
from cellflow.baselines.region_pooling import pool_regions

FEATURES = np.arange(12.0).reshape(1, 1, 3, 4)
"""A plane 4 y + x, on which bilinear samples and their means are exact."""


def sample(plane, y, x):
    """One bilinear sample: 0 beyond a pixel outside, else the border."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = min(int(y), max(0, height - 2)), min(int(x), max(0, width - 2))
    down, right = y - top, x - left
    bottom, east = min(top + 1, height - 1), min(left + 1, width - 1)
    above = (1 - right) * plane[top, left] + right * plane[top, east]
    below = (1 - right) * plane[bottom, left] + right * plane[bottom, east]
    return (1 - down) * above + down * below


def plain_pooling(features, regions, scale, height, width, ratio, aligned):
    """Loop over regions, channels, bins and samples, in float64."""
    output = np.zeros((len(regions), features.shape[1], height, width))
    for k, (image, x1, y1, x2, y2) in enumerate(regions):
        offset = 0.5 if aligned else 0.0
        left, top = x1 * scale - offset, y1 * scale - offset
        across, down = (x2 - x1) * scale, (y2 - y1) * scale
        if not aligned:
            across, down = max(across, 1.0), max(down, 1.0)
        bin_y, bin_x = down / height, across / width
        n_y = ratio if ratio > 0 else max(1, math.ceil(bin_y))
        n_x = ratio if ratio > 0 else max(1, math.ceil(bin_x))
        for channel in range(features.shape[1]):
            plane = features[int(image), channel]
            for i in range(height):
                for j in range(width):
                    output[k, channel, i, j] = np.mean(
                        [
                            sample(
                                plane,
                                top + (i + (a + 0.5) / n_y) * bin_y,
                                left + (j + (b + 0.5) / n_x) * bin_x,
                            )
                            for a in range(n_y)
                            for b in range(n_x)
                        ]
                    )
    return output


def scene(rng, n_regions=12, beyond=6.0):
    features = rng.standard_normal((2, 3, 9, 11))
    low = rng.uniform(-beyond, 30, (n_regions, 2))
    high = low + rng.uniform(0.5, 20, (n_regions, 2))
    images = rng.integers(0, 2, (n_regions, 1))
    return features, np.hstack([images, low, high])


def as_tensors(*arrays):
    return [torch.from_numpy(np.asarray(array)).float() for array in arrays]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        # The middles of the bins of a 2x2 box at (0, 0): y and x are 0.5 and 1.5.
        ([0, 0, 0, 2, 2], [[2.5, 3.5], [6.5, 7.5]]),
        # Half a pixel further right and down; of y = 1.75 and 2.25 the second is the border's 2.
        ([0, 0.5, 0.5, 2.5, 2.5], [[5.0, 6.0], [8.5, 9.5]]),
        # A box without extent counts as one pixel wide.
        ([0, 1, 1, 1, 1], [[6.25, 6.75], [8.25, 8.75]]),
        # x = 2.5 and 3.5, at which the border at 3 is repeated; then 4.5 and 5.5, which are 0.
        ([0, 2, 0, 6, 2], [[4.75, 0.0], [8.75, 0.0]]),
    ],
)
def test_pools_a_plane_as_by_hand(region, expected):
    features, regions = as_tensors(FEATURES, [region])
    pooled = pool_regions(features, regions, 1.0, 2, 2, 2, False)
    np.testing.assert_allclose(pooled[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [1, 2, -1])
def test_values_are_those_of_the_plain_loop(rng, ratio, aligned):
    features, regions = scene(rng)
    expected = plain_pooling(features, regions, 0.4, 3, 2, ratio, aligned)
    pooled = pool_regions(*as_tensors(features, regions), 0.4, 3, 2, ratio, aligned)
    np.testing.assert_allclose(pooled, expected, atol=2e-5)


@pytest.mark.parametrize("ratio", [2, -1])
def test_gradients_are_those_of_the_plain_loop(rng, ratio):
    features, regions = scene(rng, n_regions=4)
    weights = rng.standard_normal((4, 3, 2, 2))
    tensor, boxes, factors = as_tensors(features, regions, weights)
    tensor.requires_grad_()
    (pool_regions(tensor, boxes, 0.4, 2, 2, ratio, False) * factors).sum().backward()
    # The pooling is linear in the features: the gradient is what each unit feature adds.
    expected = np.zeros_like(features)
    for index in np.ndindex(features.shape):
        unit = np.zeros_like(features)
        unit[index] = 1
        expected[index] = (plain_pooling(unit, regions, 0.4, 2, 2, ratio, False) * weights).sum()
    np.testing.assert_allclose(tensor.grad, expected, atol=1e-4)


def test_no_region_is_a_function_of_the_features_all_the_same():
    features = torch.ones((1, 2, 4, 4), requires_grad=True)
    pooled = pool_regions(features, torch.zeros((0, 5)), 1.0, 3, 3, 2, False)
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert not features.grad.any()


def test_regions_in_several_parts_are_the_same(rng, monkeypatch):
    features, regions = as_tensors(*scene(rng))
    whole = pool_regions(features, regions, 0.4, 3, 3, 2, False)
    monkeypatch.setattr(region_pooling, "MOST_SAMPLES", 200)
    assert torch.equal(pool_regions(features, regions, 0.4, 3, 3, 2, False), whole)


def test_bfloat16_features_give_bfloat16(rng):
    features, regions = as_tensors(*scene(rng))
    pooled = pool_regions(features.bfloat16(), regions, 0.4, 3, 3, 2, False)
    assert pooled.dtype == torch.bfloat16
    exact = pool_regions(features.bfloat16().float(), regions, 0.4, 3, 3, 2, False)
    assert torch.equal(pooled, exact.bfloat16())
