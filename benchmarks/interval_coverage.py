"""How often the 95 % interval holds the truth: simulated data sets, each with its own interval.

    python benchmarks/interval_coverage.py [--data-sets 5000] [--draws 1000]

Takes about five minutes on a processor core. A data set is N images of three cell types in the
competition's shares (cort 53 %, shsy5y 26 %, astro 21 %), with scores around 0.52, 0.17 and 0.23,
standard deviation 0.09, 0.07 and 0.08, and a long tail to the right. Clustered: images come three a
well, and half of the variance lies between wells. The bootstrap is that of `cellflow compare`.
"""

import argparse
import time

import numpy as np
from measure import markdown
from numpy.typing import NDArray

from cellflow.metrics.bootstrap import degrees_of_freedom, interval_of, resampled_sums

TYPES = ("cort", "shsy5y", "astro")
SHARES = np.array([0.53, 0.26, 0.21])
MEANS = np.array([0.52, 0.17, 0.23])
DEVIATIONS = np.array([0.09, 0.07, 0.08])
WITHIN_WELLS = 0.5
"""Share of the variance that two images of a well have in common."""

CASES = (
    *((n_images, 1) for n_images in (6, 8, 12, 30, 119, 240, 606)),
    *((n_images, 3) for n_images in (12, 18, 24, 30, 60, 119, 240, 606)),
)
"""Images, and images a well; the last well may have fewer."""

AT_ONCE = 50
"""Data sets that share their resamples, as they would in one comparison of so many methods."""


def draw_data_sets(
    n_data_sets: int, n_images: int, per_well: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[str], list[str], float]:
    """Give the image scores of many data sets (B, N), types and wells of the images, the truth."""
    n_wells = -(-n_images // per_well)
    counts = np.round(SHARES * n_wells).astype(int)
    counts[0] += n_wells - counts.sum()
    images = _tailed(rng, (n_data_sets, n_wells, per_well))
    if per_well > 1:
        wells = _tailed(rng, (n_data_sets, n_wells, 1))
        images = np.sqrt(WITHIN_WELLS) * wells + np.sqrt(1 - WITHIN_WELLS) * images
    well_of = np.repeat(np.arange(n_wells), per_well)[:n_images]
    kind_of = np.repeat(np.arange(3), counts)[well_of]
    scores = MEANS[kind_of] + DEVIATIONS[kind_of] * images.reshape(n_data_sets, -1)[:, :n_images]
    truth = float(MEANS[kind_of].mean())
    return scores, [TYPES[kind] for kind in kind_of], [f"well {well}" for well in well_of], truth


def coverage(
    n_images: int, per_well: int, n_data_sets: int, n_draws: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Give the share of intervals that hold the truth, that of plain percentiles, and the width."""
    scores, kinds, wells, truth = draw_data_sets(n_data_sets, n_images, per_well, rng)
    held, held_by_percentiles, width = 0, 0, 0.0
    for block in np.array_split(scores, max(1, n_data_sets // AT_ONCE)):
        draws = resampled_sums(block, rng=rng, strata=kinds, clusters=wells, n_draws=n_draws)
        draws /= n_images
        for values, row in zip(block, draws, strict=True):
            freedom = degrees_of_freedom(values - values.mean(), kinds, wells)
            interval = interval_of(float(values.mean()), row, freedom)
            held += interval.low <= truth <= interval.high
            width += interval.high - interval.low
        held_by_percentiles += _plain_percentiles(block, kinds, wells, truth, n_draws, rng)
    return held / n_data_sets, held_by_percentiles / n_data_sets, width / n_data_sets


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=5000)
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows, started = [], time.perf_counter()
    for n_images, per_well in CASES:
        held, by_percentiles, width = coverage(
            n_images, per_well, given.data_sets, given.draws, rng
        )
        how = "independent" if per_well == 1 else f"{-(-n_images // per_well)} wells of {per_well}"
        rows.append([n_images, how, f"{held:.3f}", f"{by_percentiles:.3f}", f"{width:.3f}"])
    header = ["images", "sampled", "held by ours", "by plain percentiles", "mean width of ours"]
    print(markdown(header, rows))
    error = 100 * np.sqrt(0.95 * 0.05 / given.data_sets)
    print(
        f"\n{given.data_sets} data sets a row (± {2 * error:.1f} %), {given.draws} draws each, "
        f"{time.perf_counter() - started:.0f} s; wanted 0.950."
    )


def _tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw numbers of mean 0 and variance 1 with a long tail to the right."""
    return (rng.gamma(2.0, 1.0, shape) - 2) / np.sqrt(2)


def _plain_percentiles(
    block: NDArray[np.float64],
    kinds: list[str],
    wells: list[str],
    truth: float,
    n_draws: int,
    rng: np.random.Generator,
) -> int:
    """Count the data sets that the usual percentile bootstrap (whole wells, in types) holds."""
    sums = np.zeros((len(block), n_draws))
    members: dict[str, list[str]] = {}
    for kind, well in dict.fromkeys(zip(kinds, wells, strict=True)):
        members.setdefault(kind, []).append(well)
    columns = {well: np.flatnonzero(np.array(wells) == well) for well in dict.fromkeys(wells)}
    for names in members.values():
        of_well = np.stack([block[:, columns[name]].sum(axis=1) for name in names], axis=1)
        size = len(names)
        sums += of_well @ rng.multinomial(size, np.full(size, 1 / size), size=n_draws).T
    low, high = np.quantile(sums / block.shape[1], [0.025, 0.975], axis=1)
    return int(((low <= truth) & (truth <= high)).sum())


if __name__ == "__main__":
    main()
