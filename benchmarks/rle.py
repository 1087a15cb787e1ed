"""Run-length text against the snippets that competitors use, in one process on the same cells.

    python benchmarks/rle.py [n_rounds]

Rounds alternate between the sides, so that a busy machine slows both; the ratio of the medians is
what counts. Targets: encode 80 times, decode 50 times as fast on an image with 520 cells.
"""

import statistics
import sys
import time

import numpy as np
from scenes import SCENES, draw_labels

from cellflow.data.rle import labels_to_rle, rle_to_masks


def snippet_encode(mask):
    """Encode one cell as the notebooks do: differences of the padded, flattened mask."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def snippet_decode(text, shape):
    """Decode one cell as the notebooks do: split, to integers, fill a mask of the whole image."""
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


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def compare(theirs, ours, n_rounds):
    """Give both medians in seconds."""
    seconds(*ours)
    times = [(seconds(*theirs), seconds(*ours)) for _ in range(n_rounds)]
    return [statistics.median(side) for side in zip(*times, strict=True)]


def main(n_rounds):
    print(f"{'scene':8s} {'stage':8s} {'snippet ms':>11s} {'ours ms':>9s} {'ratio':>7s}")
    for name in ("cort", "astro", "shsy5y"):
        labels = draw_labels(SCENES[name])
        texts = labels_to_rle(labels)
        assert texts == [text for text in encode_all(labels) if text]
        for stage, theirs, ours in (
            ("encode", (encode_all, labels), (labels_to_rle, labels)),
            ("decode", (decode_all, texts, labels.shape), (rle_to_masks, texts, labels.shape)),
        ):
            slow, fast = compare(theirs, ours, n_rounds)
            print(f"{name:8s} {stage:8s} {slow * 1e3:11.2f} {fast * 1e3:9.3f} {slow / fast:7.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
