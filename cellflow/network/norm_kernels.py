"""Passes over feature maps that batch normalisation takes in training, clipping included.

Maps are arrays of N images × P pixels × C maps in bfloat16, for which NumPy has no type: uint16 of
the same bits. Numbers are computed in float32.

Each pass is a range of chunks: an image has ``n_chunks(P)`` of them, whatever the number of
threads, and sums are given chunk by chunk, so that a result does not depend on who computed it.
"""

import numpy as np
from numba import njit

CHUNK = 2048
"""Pixels of a chunk. With 32 maps in bfloat16 they are 128 KiB, which a core's own cache holds."""

ROWS = 64
"""Pixels that are summed up before the sum is added to that of the chunk: the loss by rounding
grows with the longer of the two sums."""


def n_chunks(n_pixels: int) -> int:
    """Give the chunks of an image."""
    return -(-n_pixels // CHUNK)


@njit(cache=True, nogil=True)
def widen(bits):  # type: ignore[no-untyped-def]
    """Give the float32 that bfloat16 is the upper half of."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(cache=True, nogil=True)
def narrow(value):  # type: ignore[no-untyped-def]
    """Give the bits of the bfloat16 nearest to a float32, of two the even one.

    NaN stays NaN if it comes from arithmetic or from bfloat16: all but those of set lower bits.
    """
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16(np.uint32(bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


@njit(cache=True, nogil=True, error_model="numpy")
def sum_values(maps, added, feature, total, near, sums, squares, first, last):  # type: ignore[no-untyped-def]
    """Sum up each map, and its squares; before that, where asked for, add two maps and a feature.

    Parameters
    ----------
    maps : (N, P, C) uint16
    added : the same, or None
        Added to `maps` in `total`.
    feature : (N, C) float32, or None
        Added as well, the same to all pixels. Needed where `added` is given.
    total : the same as `maps`, or None
        Written where `feature` is given; what is summed up is then this.
    near : (C,) float32
        About the mean; subtracted, so that squares stay small.
    sums, squares : (K, C) float32
        Written: of each chunk, over its pixels, values less `near` and their squares.
    first, last : int
        The chunks of this call.
    """
    n_pixels, n_maps = maps.shape[1:]
    per_image = -(-n_pixels // CHUNK)
    few, few_squares = np.zeros(n_maps, np.float32), np.zeros(n_maps, np.float32)
    for chunk in range(first, last):
        image, start = chunk // per_image, chunk % per_image * CHUNK
        stop = min(start + CHUNK, n_pixels)
        sums[chunk] = 0
        squares[chunk] = 0
        for row in range(start, stop, ROWS):
            few[:] = 0
            few_squares[:] = 0
            for pixel in range(row, min(row + ROWS, stop)):
                for channel in range(n_maps):
                    value = widen(maps[image, pixel, channel])
                    if feature is not None:
                        if added is not None:
                            value += widen(added[image, pixel, channel])
                        total[image, pixel, channel] = narrow(value + feature[image, channel])
                        value = widen(total[image, pixel, channel])
                    value -= near[channel]
                    few[channel] += value
                    few_squares[channel] += value * value
            for channel in range(n_maps):
                sums[chunk, channel] += few[channel]
                squares[chunk, channel] += few_squares[channel]


@njit(cache=True, nogil=True, error_model="numpy")
def scale_values(maps, scale, shift, floor, scaled, first, last):  # type: ignore[no-untyped-def]
    """Write ``scale x + shift``, but nothing below `floor`.

    Parameters
    ----------
    maps, scaled : (N, P, C) uint16
        The second is written.
    scale, shift : (C,) float32
    floor : float32
        0 clips as ReLU does, minus infinity not at all. NaN stays NaN.
    first, last : int
        The chunks of this call.
    """
    n_pixels, n_maps = maps.shape[1:]
    per_image = -(-n_pixels // CHUNK)
    for chunk in range(first, last):
        image, start = chunk // per_image, chunk % per_image * CHUNK
        for pixel in range(start, min(start + CHUNK, n_pixels)):
            for channel in range(n_maps):
                value = widen(maps[image, pixel, channel]) * scale[channel] + shift[channel]
                if value < floor:
                    value = floor
                scaled[image, pixel, channel] = narrow(value)


@njit(cache=True, nogil=True, error_model="numpy")
def sum_slopes(maps, slopes, scale, shift, floor, mean, sums, products, first, last):  # type: ignore[no-untyped-def]
    """Sum up the slopes of what `scale_values` did not clip, alone and times the values.

    Parameters
    ----------
    maps, slopes : (N, P, C) uint16
        What was scaled, and the gradient of the result.
    scale, shift : (C,) float32
    floor : float32
        As for `scale_values`.
    mean : (C,) float32
        Subtracted from the values.
    sums, products : (K, C) float32
        Written, for each chunk.
    first, last : int
        The chunks of this call.
    """
    n_pixels, n_maps = maps.shape[1:]
    per_image = -(-n_pixels // CHUNK)
    few, few_products = np.zeros(n_maps, np.float32), np.zeros(n_maps, np.float32)
    for chunk in range(first, last):
        image, start = chunk // per_image, chunk % per_image * CHUNK
        stop = min(start + CHUNK, n_pixels)
        sums[chunk] = 0
        products[chunk] = 0
        for row in range(start, stop, ROWS):
            few[:] = 0
            few_products[:] = 0
            for pixel in range(row, min(row + ROWS, stop)):
                for channel in range(n_maps):
                    value = widen(maps[image, pixel, channel])
                    is_kept = value * scale[channel] + shift[channel] > floor
                    slope = widen(slopes[image, pixel, channel]) if is_kept else np.float32(0)
                    few[channel] += slope
                    few_products[channel] += slope * (value - mean[channel])
            for channel in range(n_maps):
                sums[chunk, channel] += few[channel]
                products[chunk, channel] += few_products[channel]


@njit(cache=True, nogil=True, error_model="numpy")
def scale_slopes(  # type: ignore[no-untyped-def]
    maps, slopes, scale, shift, floor, by_value, offset, scaled, first, last
):
    """Write ``scale s + by_value x + offset``, s being 0 where `scale_values` clipped.

    Parameters
    ----------
    maps, slopes, scaled : (N, P, C) uint16
        x, s, and what is written.
    scale, shift : (C,) float32
    floor : float32
        As for `scale_values`.
    by_value, offset : (C,) float32
    first, last : int
        The chunks of this call.
    """
    n_pixels, n_maps = maps.shape[1:]
    per_image = -(-n_pixels // CHUNK)
    for chunk in range(first, last):
        image, start = chunk // per_image, chunk % per_image * CHUNK
        for pixel in range(start, min(start + CHUNK, n_pixels)):
            for channel in range(n_maps):
                value = widen(maps[image, pixel, channel])
                is_kept = value * scale[channel] + shift[channel] > floor
                slope = widen(slopes[image, pixel, channel]) if is_kept else np.float32(0)
                slope = slope * scale[channel] + value * by_value[channel] + offset[channel]
                scaled[image, pixel, channel] = narrow(slope)
