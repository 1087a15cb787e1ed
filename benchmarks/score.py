"""Scoring: `average_precision` against Cellpose's, and a submission for a whole training set.

    python benchmarks/score.py

The training set has as many images and cells as the competition's, and overlapping truth; the
submission is this truth, flattened and shifted by one pixel. Target: 5 s to score it from the two
files.

Cellpose's function counts matches by linear assignment, ours by maximum matching. On these scenes
both give the same counts; the table says so.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from measure import in_turns, markdown
from read_kaggle import draw_truth

from cellflow.comparison.score import score_submission
from cellflow.data.flatten import flatten
from cellflow.data.kaggle import write_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.metrics.average_precision import average_precision

THRESHOLDS = np.arange(0.5, 1.0, 0.05)


def discs(n_cells: int, side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Draw discs on a jittered grid; labels (side, side) int32."""
    labels = np.zeros((side, side), np.int32)
    per_row = int(np.ceil(np.sqrt(n_cells)))
    step = side / per_row
    reach = int(np.ceil(radius))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = dy**2 + dx**2 <= radius**2
    for number in range(n_cells):
        row, column = divmod(number, per_row)
        centre = (np.array([row, column]) + 0.5 + rng.uniform(-0.15, 0.15, 2)) * step
        y, x = centre.astype(int)
        y, x = np.clip([y, x], reach, side - reach - 1)
        window = labels[y - reach : y + reach + 1, x - reach : x + reach + 1]
        window[disc & (window == 0)] = number + 1
    return labels


def against_cellpose() -> None:
    """Print times and ratio for several numbers of cells."""
    from cellpose import metrics

    rows = []
    for n_cells, side, n_theirs in ((500, 704, 5), (5000, 2000, 2)):
        rng = np.random.default_rng(0)
        truth = discs(n_cells, side, 9, rng)
        found = np.roll(truth, (1, 2), (0, 1))
        theirs, ours = in_turns(
            lambda truth=truth, found=found: metrics.average_precision(truth, found, THRESHOLDS),
            lambda truth=truth, found=found: average_precision(truth, found),
            n_theirs=n_theirs,
        )
        expected = metrics.average_precision(truth, found, THRESHOLDS)[1]
        same = (average_precision(truth, found).counts.tp == np.ravel(expected)).all()
        ratio = theirs.wall / ours.wall
        rows.append([n_cells, theirs.wall, ours.wall, ratio, "same" if same else "different"])
    print(markdown(["cells", "cellpose ms", "cellflow ms", "ratio", "matches"], rows))


def whole_training_set(folder: Path) -> None:
    """Time the scoring of 606 images with 73,585 cells, from memory and from two files."""
    truth = list(draw_truth(np.random.default_rng(0)))
    found = [labels_to_masks(np.roll(flatten(image.masks), (1, 1), (0, 1))) for image in truth]
    n_overlapping = sum(
        int(flat.areas.sum() != image.masks.areas.sum())
        for flat, image in zip(found, truth, strict=True)
    )
    write_train_csv(folder / "train.csv", truth)
    rows = [(image.name, masks) for image, masks in zip(truth, found, strict=True)]
    write_submission(folder / "submission.csv", rows)
    average_precision(truth[0].masks, found[0])  # loads the kernels
    started = time.perf_counter()
    for image, masks in zip(truth, found, strict=True):
        average_precision(image.masks, masks)
    in_memory = time.perf_counter() - started
    started = time.perf_counter()
    score = score_submission(folder / "train.csv", folder / "submission.csv")
    seconds = time.perf_counter() - started
    n_cells = sum(len(image.masks) for image in truth)
    print(f"\n{len(truth)} images, {n_cells} cells, truth overlapping in {n_overlapping} images")
    print(f"average_precision of all, from CellMasks: {in_memory:.2f} s")
    print(f"from both files to the score with its interval: {seconds:.2f} s", end=" ")
    print(f"(mAP {score.overall.mean.estimate:.3f})")


if __name__ == "__main__":
    against_cellpose()
    with tempfile.TemporaryDirectory() as name:
        whole_training_set(Path(name))
