"""Which labels of two label images share pixels, and how many: one pass, one hash table."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def pair_labels(
    truth: NDArray[np.int32],
    largest_truth: int,
    predicted: NDArray[np.int32],
    largest_predicted: int,
) -> tuple[Pairs, NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of every label, and of every pair of labels.

    Parameters
    ----------
    truth, predicted : (K,) int32
        Pixels of two label images in the same order; 0 = background, none negative.
    largest_truth, largest_predicted : int
        The largest label of each image, or any larger number.

    Returns
    -------
    (truth, predicted, count) : three (P,) int64
        The pairs of labels that share pixels, sorted by truth, then by prediction, and the number
        of these pixels.
    truth_areas, predicted_areas : (L + 1,) int64
        Pixels of each label from 0 to the largest; the entry of the background is 0.

    Notes
    -----
    Cost: one pass over the pixels, and one lookup in the table wherever the pair changes. Memory:
    the table has two to eight places per pair, or a few per label.
    """
    truth_areas = np.zeros(largest_truth + 1, np.int64)
    predicted_areas = np.zeros(largest_predicted + 1, np.int64)
    n_places = 1 << (2 * (len(truth_areas) + len(predicted_areas))).bit_length()
    while True:
        places = np.zeros((n_places, 3), np.int64)
        if _count_pairs(truth, predicted, truth_areas, predicted_areas, places):
            break
        n_places *= 4
    found = places[places[:, 0] > 0]
    found = found[np.argsort(found[:, 0] * len(predicted_areas) + found[:, 1])]
    return (found[:, 0], found[:, 1], found[:, 2]), truth_areas, predicted_areas


@njit(cache=True, nogil=True)
def _count_pairs(truth, predicted, truth_areas, predicted_areas, places) -> Any:  # type: ignore[no-untyped-def]
    """Fill `places` with (truth, predicted, count); False if more than half would be taken.

    Parameters
    ----------
    truth, predicted : (K,) int32
        None negative.
    truth_areas, predicted_areas : int64, written
        Length: the largest label plus one.
    places : (a power of 2, 3) int64, changed
        A hash table with open addressing; must be 0 at the start.

    Notes
    -----
    Cost: two loads per pixel, and a search of one or two places per run of equal pairs. Bound by
    memory bandwidth for the two images, and by one mispredicted branch per run.
    """
    truth_areas[:] = 0
    predicted_areas[:] = 0
    mask, n_taken, first = len(places) - 1, 0, 0
    while first < len(truth):
        a, b = truth[first], predicted[first]
        last = first + 1
        while last < len(truth) and truth[last] == a and predicted[last] == b:
            last += 1
        n_pixels = last - first
        first = last
        if a > 0:
            truth_areas[a] += n_pixels
        if b > 0:
            predicted_areas[b] += n_pixels
        if a == 0 or b == 0:
            continue
        # The numbers of overlapping cells are often close; an odd factor spreads them.
        at = (np.int64(a) * 7919 + b) & mask
        while places[at, 0] > 0 and (places[at, 0] != a or places[at, 1] != b):
            at = (at + 1) & mask
        if places[at, 0] == 0:
            n_taken += 1
            if 2 * n_taken > len(places):
                return False
            places[at, 0], places[at, 1] = a, b
        places[at, 2] += n_pixels
    return True
