"""How far to trust a 95 % interval if there are few independent groups of images."""

from collections.abc import Sequence

SIMULATED_COVERAGE: dict[int, tuple[float, float]] = {
    2: (0.932, 0.999),
    3: (0.914, 1.000),
    4: (0.911, 1.000),
    5: (0.915, 1.000),
    6: (0.915, 0.999),
    8: (0.926, 0.966),
    10: (0.931, 0.964),
    12: (0.930, 0.961),
    16: (0.931, 0.952),
    20: (0.932, 0.951),
}
"""Number of independent groups → lowest and highest coverage of the 95 % interval over kinds of
simulated data sets: one to three cell types, normal and long-tailed scores (5,000 data sets of each
kind, ± 0.6 %; `benchmarks/interval_coverage.py`)."""


def n_groups(groups: Sequence[str | None]) -> int:
    """Count the independent groups; an image whose group is None is a group of its own."""
    return len({name for name in groups if name is not None}) + list(groups).count(None)


def independence_remark(groups: Sequence[str | None]) -> list[str]:
    """Give a remark that images count as independent if none has a group."""
    if len(groups) < 2 or any(groups):
        return []
    return [
        "no groups of images are known, such as those of one plate and well: each image counts as "
        "independent, although frames and neighbours of one field are not"
    ]


def coverage_remark(groups: Sequence[str | None]) -> list[str]:
    """Give a remark on how far to trust intervals if there are few independent groups.

    Parameters
    ----------
    groups : sequence of str or None
        Group of each image; None = a group of its own.

    Returns
    -------
    list of str
        One sentence, with the coverage that was simulated for this number of groups or the next
        smaller one. Empty with a single group, which gives no interval, or with more groups than
        were simulated.
    """
    count = n_groups(groups)
    simulated = [number for number in SIMULATED_COVERAGE if number <= count]
    if not simulated or count > max(SIMULATED_COVERAGE):
        return []
    least, most = SIMULATED_COVERAGE[max(simulated)]
    return [
        f"with {count} independent groups of images, 95 % intervals held the truth in "
        f"{100 * least:.0f} to {100 * most:.0f} % of simulations"
    ]
