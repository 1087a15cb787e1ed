"""Run-length encoding against the snippets of competition notebooks, on the same cells.

    python benchmarks/rle.py [n_rounds]

Targets: encode 80 times and decode 50 times as fast. The cost of the snippets is proportional to
cells × pixels, ours to pixels, so few cells are the hard case.
"""

import sys

import numpy as np
from measure import in_turns, markdown
from scenes import SCENES, draw_labels

from cellflow.data.rle import labels_to_rle, rle_to_masks

HEADER = ("scene", "cells", "stage", "snippet ms", "cellflow ms", "ratio", "per core")


def snippet_encode(mask):
    """Encode one cell as notebooks do: from differences of the padded, flattened mask."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def snippet_decode(text, shape):
    """Decode one cell as notebooks do: split, convert to integers, fill a mask of the image."""
    numbers = text.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[0::2], numbers[1::2]))
    starts -= 1
    mask = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for start, end in zip(starts, starts + lengths, strict=True):
        mask[start:end] = 1
    return mask.reshape(shape)


def encode_all(labels):
    return [snippet_encode(labels == label) for label in range(1, labels.max() + 1)]


def decode_all(texts, shape):
    return [snippet_decode(text, shape) for text in texts]


def compare(name, n_rounds):
    """Yield a row for encoding and one for decoding."""
    labels = draw_labels(SCENES[name])
    texts = labels_to_rle(labels)
    assert texts == [text for text in encode_all(labels) if text]
    for stage, theirs, ours in (
        ("encode", lambda: encode_all(labels), lambda: labels_to_rle(labels)),
        (
            "decode",
            lambda: decode_all(texts, labels.shape),
            lambda: rle_to_masks(texts, labels.shape),
        ),
    ):
        slow, fast = in_turns(theirs, ours, n_rounds, 20)
        ratios = slow.wall / fast.wall, slow.processor / fast.processor
        yield (name, len(texts), stage, slow.wall, fast.wall, *ratios)


def main(n_rounds):
    rows = [row for name in ("cort", "astro", "shsy5y") for row in compare(name, n_rounds)]
    print("Run lengths; snippet / cellflow, medians in turns")
    print("by the clock, and by the time that processors computed (true on a busy machine too)\n")
    print(markdown(HEADER, rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
