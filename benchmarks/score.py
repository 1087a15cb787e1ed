"""Score: `average_precision` against Cellpose's, and a whole training set against a submission.

    python benchmarks/score.py

Cellpose's function counts matches by linear assignment, ours by maximum matching; on these scenes
both give the same counts, which is printed beside the ratio.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from measure import in_turns, markdown

from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.score import score_submission

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
N_IMAGES = 606


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
    """Print the ratio at several numbers of cells."""
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
    """Time the scoring of 606 images with 73,000 cells from two files."""
    rng = np.random.default_rng(1)
    images, rows = [], []
    for number in range(N_IMAGES):
        labels = discs(121, 520, 9, rng)
        masks = labels_to_masks(labels)
        images.append(
            KaggleImage(name=f"{number:012x}", masks=masks, metadata={"cell_type": "cort"})
        )
        rows.append((f"{number:012x}", labels_to_masks(np.roll(labels, (1, 1), (0, 1)))))
    write_train_csv(folder / "train.csv", images)
    write_submission(folder / "submission.csv", rows)
    score_submission(folder / "train.csv", folder / "submission.csv")
    started = time.perf_counter()
    score = score_submission(folder / "train.csv", folder / "submission.csv")
    seconds = time.perf_counter() - started
    n_cells = sum(len(image.masks) for image in images)
    print(f"\n{N_IMAGES} images, {n_cells} cells, from both files to the score with its interval: ")
    print(f"{seconds:.2f} s (mAP {score.overall.mean.estimate:.3f})")


if __name__ == "__main__":
    against_cellpose()
    with tempfile.TemporaryDirectory() as name:
        whole_training_set(Path(name))
