"""Coverage of the 95 % interval: how often it holds the true mean of simulated data sets.

    python benchmarks/interval_coverage.py [--data-sets 5000] [--draws 1000]

Takes about ten minutes on one CPU core. A data set is N images of up to three cell types in the
competition's shares (cort 53 %, shsy5y 26 %, astro 21 %), with mean scores of 0.52, 0.17 and 0.23,
standard deviations of 0.09, 0.07 and 0.08, and a normal or a right-skewed distribution. In
clustered data sets there are three images per well, and half of the variance lies between wells.
The bootstrap is that of `cellflow compare`. The second table is `SIMULATED_COVERAGE` of
`cellflow.metrics.few_groups`.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from measure import markdown
from numpy.typing import NDArray

from cellflow.metrics.bootstrap import degrees_of_freedom, interval_of, resampled_sums

TYPES = ("cort", "shsy5y", "astro")
SHARES = np.array([0.53, 0.26, 0.21])
MEANS = np.array([0.52, 0.17, 0.23])
DEVIATIONS = np.array([0.09, 0.07, 0.08])
WITHIN_WELLS = 0.5
"""Share of the variance that is common to the images of a well."""

FEW_GROUPS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
AT_ONCE = 50
"""Data sets that share their resamples, like the methods of one comparison."""


@dataclass(frozen=True)
class Design:
    """The design of a data set; the last well may have fewer images."""

    n_images: int
    per_well: int = 1
    n_types: int = 3
    tail: bool = True

    @property
    def n_groups(self) -> int:
        """Number of independent groups of images."""
        return -(-self.n_images // self.per_well)


DESIGNS = (
    *(
        Design(per_well * n_groups, per_well, n_types, tail)
        for n_groups in FEW_GROUPS
        for n_types in (1, 2, 3)
        if n_types <= n_groups
        for per_well, tail in ((1, False), (1, True), (3, True))
    ),
    *(Design(n_images) for n_images in (30, 60, 119, 240, 606)),
    *(Design(n_images, per_well=3) for n_images in (119, 240, 606)),
)


def draw_data_sets(
    design: Design, n_data_sets: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[str], list[str], float]:
    """Give scores of many data sets (B, N), cell type and well of each image, and the true mean."""
    shares = SHARES[: design.n_types] / SHARES[: design.n_types].sum()
    counts = np.maximum(1, np.round(shares * design.n_groups).astype(int))
    counts[0] += design.n_groups - counts.sum()
    draw = _tailed if design.tail else np.random.Generator.standard_normal
    images = draw(rng, (n_data_sets, design.n_groups, design.per_well))
    if design.per_well > 1:
        wells = draw(rng, (n_data_sets, design.n_groups, 1))
        images = np.sqrt(WITHIN_WELLS) * wells + np.sqrt(1 - WITHIN_WELLS) * images
    well_of = np.repeat(np.arange(design.n_groups), design.per_well)[: design.n_images]
    kind_of = np.repeat(np.arange(design.n_types), counts)[well_of]
    deviations = images.reshape(n_data_sets, -1)[:, : design.n_images]
    scores = MEANS[kind_of] + DEVIATIONS[kind_of] * deviations
    truth = float(MEANS[kind_of].mean())
    return scores, [TYPES[kind] for kind in kind_of], [f"well {well}" for well in well_of], truth


def coverage(
    design: Design, n_data_sets: int, n_draws: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Give the coverage of our interval, that of plain percentiles, and the mean width of ours."""
    scores, kinds, wells, truth = draw_data_sets(design, n_data_sets, rng)
    held, held_by_percentiles, width = 0, 0, 0.0
    for block in np.array_split(scores, max(1, n_data_sets // AT_ONCE)):
        draws = resampled_sums(block, rng=rng, strata=kinds, clusters=wells, n_draws=n_draws)
        draws /= design.n_images
        for values, row in zip(block, draws, strict=True):
            freedom = degrees_of_freedom(values - values.mean(), kinds, wells)
            interval = interval_of(float(values.mean()), row, freedom)
            held += interval.low <= truth <= interval.high
            width += interval.high - interval.low
        held_by_percentiles += _plain_percentiles(block, kinds, wells, truth, n_draws, rng)
    return held / n_data_sets, held_by_percentiles / n_data_sets, width / n_data_sets


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=5000)
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows, started = [], time.perf_counter()
    by_groups: dict[int, list[float]] = {}
    for design in DESIGNS:
        held, by_percentiles, width = coverage(design, given.data_sets, given.draws, rng)
        by_groups.setdefault(design.n_groups, []).append(held)
        how = "independent" if design.per_well == 1 else f"{design.n_groups} wells of 3"
        tail = "long tail" if design.tail else "normal"
        numbers = [f"{held:.3f}", f"{by_percentiles:.3f}", f"{width:.3f}"]
        rows.append([design.n_images, how, design.n_types, tail, *numbers])
    header = [
        "images",
        "sampled",
        "types",
        "scores",
        "held by ours",
        "by plain percentiles",
        "width",
    ]
    print(markdown(header, rows))
    few = [[n, f"{min(by_groups[n]):.3f}", f"{max(by_groups[n]):.3f}"] for n in FEW_GROUPS]
    print("\n" + markdown(["groups", "held at least", "at most"], few))
    error = 100 * np.sqrt(0.95 * 0.05 / given.data_sets)
    print(
        f"\n{given.data_sets} data sets a row (± {2 * error:.1f} %), {given.draws} draws each, "
        f"{time.perf_counter() - started:.0f} s; wanted 0.950."
    )


def _tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw right-skewed numbers with mean 0 and variance 1."""
    return (rng.gamma(2.0, 1.0, shape) - 2) / np.sqrt(2)


def _plain_percentiles(
    block: NDArray[np.float64],
    kinds: list[str],
    wells: list[str],
    truth: float,
    n_draws: int,
    rng: np.random.Generator,
) -> int:
    """Count the data sets whose true mean the usual percentile bootstrap holds.

    It resamples whole wells within cell types.
    """
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
