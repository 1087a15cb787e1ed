"""Tiles cover the image, and joining undoes cutting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cellflow.inference.tiles import (
    TileAverage,
    cut_tiles,
    padding,
    plan_tiles,
    taper_profiles,
)

SIDES = st.integers(1, 200)


def average(tiles, grid, at_once):
    """Average tiles, added `at_once` at a time."""
    mean = TileAverage(grid, tiles.shape[1], torch.device("cpu"))
    for first in range(0, len(tiles), at_once):
        mean.add(tiles[first : first + at_once], first)
    return mean.mean()


@settings(max_examples=40)
@given(SIDES, SIDES, st.sampled_from([32, 48, 96]), st.floats(0.05, 0.5), st.integers(1, 9))
def test_averaging_undoes_cutting(height, width, tile_size, overlap, at_once):
    image = torch.rand(2, height, width, generator=torch.Generator().manual_seed(0))
    grid = plan_tiles((height, width), tile_size, overlap)
    assert torch.allclose(average(cut_tiles(image, grid), grid, at_once), image, atol=1e-5)


class Copies(TorchDispatchMode):
    """Notes of every copy to a device whether it lets the caller go on."""

    def __init__(self):
        super().__init__()
        self.go_on = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function is torch.ops.aten._to_copy.default:
            self.go_on.append(bool((named or {}).get("non_blocking")))
        return function(*arguments, **(named or {}))


def test_no_copy_of_an_average_to_a_device_is_waited_for():
    grid, device = plan_tiles((100, 80), 64, 0.1), torch.device("meta")
    with Copies() as copies:
        mean = TileAverage(grid, 3, device)
        mean.add(torch.zeros(len(grid.corners), 3, *grid.tile, device=device), 0)
        mean.mean()
    assert copies.go_on == [True, True, True]


def test_an_image_smaller_than_a_tile_is_one_tile():
    assert plan_tiles((100, 80), 224, 0.1).corners == ((0, 0),)


def test_padding_reaches_a_multiple_of_16_with_a_margin():
    assert padding(16) == (8, 8)
    assert padding(17) == (15, 16)
    assert all((side + sum(padding(side))) % 16 == 0 for side in range(1, 70))


@pytest.mark.reference
@pytest.mark.parametrize("shape", [(300, 240), (224, 224), (225, 100), (536, 720), (1000, 90)])
def test_grid_taper_and_average_are_cellposes(shape, rng):
    transforms = pytest.importorskip("cellpose.transforms")
    image = rng.random((2, *shape)).astype(np.float32)
    expected, ysub, xsub, ly, lx = transforms.make_tiles(image, bsize=224, tile_overlap=0.1)
    grid = plan_tiles(shape, 224, 0.1)
    assert [(y[0], x[0]) for y, x in zip(ysub, xsub, strict=True)] == list(grid.corners)
    tiles = cut_tiles(torch.from_numpy(image), grid)
    assert (tiles.numpy() == expected.reshape(tiles.shape)).all()
    assert np.outer(*taper_profiles(grid.tile)) == pytest.approx(
        transforms._taper_mask(*grid.tile), abs=1e-6
    )
    noise = rng.random(tiles.shape).astype(np.float32)
    averaged = transforms.average_tiles(noise, ysub, xsub, ly, lx)
    assert average(torch.from_numpy(noise), grid, 4).numpy() == pytest.approx(averaged, abs=1e-5)


@pytest.mark.reference
@pytest.mark.parametrize("side", [15, 16, 17, 300, 520, 704])
def test_padding_is_cellposes(side):
    transforms = pytest.importorskip("cellpose.transforms")
    assert padding(side) == tuple(transforms.get_pad_yx(side, side)[:2])
