"""Reading and writing of tables of the competition's size: 606 images, 73,585 cells.

    python benchmarks/read_kaggle.py

Each stage runs in a process of its own, after a small warm-up that loads the kernels. Memory is how
much the stage adds to the peak of the process. Targets: read the truth in at most 2 s and 300 MB;
read and write a submission in at most 1.5 s together. On a busy machine absolute times mean little,
so the time that `csv` alone takes for the same file is printed for comparison.
"""

import csv
import multiprocessing
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellflow.data.kaggle import KaggleImage, read_train_csv, write_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import check_submission, read_submission, write_submission
from cellflow.records import CellMasks

SHAPE = (520, 704)
IMAGES = {"shsy5y": (155, 52_286, 225), "astro": (131, 10_522, 906), "cort": (320, 10_777, 240)}
"""Images, cells and mean area in pixels of each cell type."""


def draw_cells(n_cells, area, rng):
    """Draw ellipses that may overlap."""
    rows, columns = np.indices((81, 81)) - 40
    starts, lengths, offsets = [], [], [0]
    for _ in range(n_cells):
        stretch = rng.uniform(1, 2)
        radius = np.sqrt(area * rng.lognormal(0, 0.3) / np.pi)
        window = (rows * stretch) ** 2 + (columns / stretch) ** 2 <= radius**2
        cell = np.zeros(SHAPE, bool)
        y, x = rng.integers(0, SHAPE[0] - 81), rng.integers(0, SHAPE[1] - 81)
        cell[y : y + 81, x : x + 81] = window
        masks = labels_to_masks(cell)
        starts.append(masks.starts)
        lengths.append(masks.lengths)
        offsets.append(offsets[-1] + len(masks.starts))
    return CellMasks(
        starts=np.concatenate(starts),
        lengths=np.concatenate(lengths),
        offsets=np.array(offsets, np.int64),
        shape=SHAPE,
    )


def draw_truth(rng):
    """Yield the images of a table of the competition's size."""
    for cell_type, (n_images, n_cells, area) in IMAGES.items():
        counts = np.diff(np.linspace(0, n_cells, n_images + 1).astype(int))
        for number, count in enumerate(counts):
            yield KaggleImage(
                name=f"{cell_type}{number:07d}",
                masks=draw_cells(count, area, rng),
                metadata={
                    "cell_type": cell_type,
                    "plate_time": "11h30m00s",
                    "sample_date": "2019-06-16",
                    "sample_id": f"{cell_type}[diff]_E{number % 12 + 1}-4_Vessel-714_Ph_3",
                    "elapsed_timedelta": "0 days 11:30:00",
                },
            )


def csv_alone(path):
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file))


def read_truth(path):
    return sum(len(image.masks) for image in read_train_csv(path).values())


def round_trip(path):
    found = read_submission(path, SHAPE, allow_overlap=True)
    write_submission(path.with_name("again.csv"), found.items())
    return sum(map(len, found.values()))


def check(path):
    return check_submission(path, SHAPE).n_cells


def peak_megabytes():
    """Give the peak resident memory of this process alone; Linux only.

    ``getrusage`` would include the parent's peak, which a new process inherits.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(stage, path, small, results):
    """Run one stage; send its result, its time in seconds, and additional and peak memory in MB."""
    stage(small)
    before = peak_megabytes()
    start = time.perf_counter()
    given = stage(path)
    seconds = time.perf_counter() - start
    peak = peak_megabytes()
    results.put((given, seconds, peak - before, peak))


def main():
    with TemporaryDirectory() as name:
        folder = Path(name)
        truth = list(draw_truth(np.random.default_rng(0)))
        for number, images in (("small", truth[-2:]), ("full", truth)):
            write_train_csv(folder / f"{number}_train.csv", images)
            write_submission(folder / f"{number}_sub.csv", [(i.name, i.masks) for i in images])
        size = (folder / "full_train.csv").stat().st_size / 1e6
        print(f"{len(truth)} images, {sum(len(i.masks) for i in truth)} cells, {size:.0f} MB")
        context = multiprocessing.get_context("spawn")
        for stage, table in (
            (csv_alone, "train"),
            (read_truth, "train"),
            (round_trip, "sub"),
            (check, "sub"),
        ):
            results = context.Queue()
            paths = (folder / f"full_{table}.csv", folder / f"small_{table}.csv")
            process = context.Process(target=measure, args=(stage, *paths, results))
            process.start()
            given, seconds, added, peak = results.get()
            process.join()
            print(
                f"{stage.__name__:12s} {seconds:6.2f} s  {added:5.0f} MB more, {peak:5.0f} MB in "
                f"all  ({given} cells)"
            )


if __name__ == "__main__":
    main()
