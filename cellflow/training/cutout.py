"""A hole in a crop: the network neither sees what lies under it nor is scored on it."""

import numpy as np

from cellflow.training.augment import Crop
from cellflow.training.levels import Levers

Hole = tuple[slice, slice]


def draw_hole(rng: np.random.Generator, shape: tuple[int, int], levers: Levers) -> Hole | None:
    """Draw a rectangle, or None when this crop stays whole.

    Parameters
    ----------
    rng : numpy.random.Generator
        Five numbers are drawn, whatever the levers.
    shape : (h, w)
        Of the crop, pixels.
    levers : Levers
        Its `cutout` is the longest side of a hole as a share of the crop's side; its `probability`
        the chance of a hole.
    """
    chance, *sides_and_places = rng.random(5)
    if chance >= levers.probability or levers.cutout == 0:
        return None
    ranges = []
    for length, side, place in zip(shape, sides_and_places[:2], sides_and_places[2:], strict=True):
        n_hidden = max(1, round(side * levers.cutout * length))
        start = int(place * (length - n_hidden + 1))
        ranges.append(slice(start, start + n_hidden))
    return ranges[0], ranges[1]


def cut_hole(crop: Crop, hole: Hole) -> None:
    """Fill the hole with the mean of what the crop shows, and give its pixels no weight.

    Notes
    -----
    The loss leaves out what is under the hole. The visible part of a cell keeps its flows towards
    the centre of the whole cell: the network is to infer it from the surroundings.
    """
    for plane in crop.image:
        shown = plane[crop.inside]
        if shown.size and shown.any():
            plane[hole] = shown.mean()
    crop.weights[hole] = 0
