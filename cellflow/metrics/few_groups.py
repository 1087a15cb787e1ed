"""How far a 95 % interval can be trusted that rests on few independent groups of images."""

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
"""Of so many independent groups: how often the 95 % interval holds the truth, at least and at most,
in simulated data sets of one to three cell types, of normal scores and of scores with a long tail
(5,000 each, ± 0.6 %, `benchmarks/interval_coverage.py`)."""


def n_groups(groups: Sequence[str | None]) -> int:
    """Count the independent groups of images; an image whose group is None is its own."""
    return len({name for name in groups if name is not None}) + list(groups).count(None)


def independence_remark(groups: Sequence[str | None]) -> list[str]:
    """Say that images are taken as independent where nothing is known that they share."""
    if len(groups) < 2 or any(groups):
        return []
    return [
        "plate and well of the images are unknown: each counts as independent, which frames and "
        "neighbours of one field are not"
    ]


def coverage_remark(groups: Sequence[str | None]) -> list[str]:
    """Say how far intervals can be trusted that rest on few independent groups of images.

    Parameters
    ----------
    groups : sequence of str or None
        Of each image; None is the image alone.

    Returns
    -------
    list of str
        One sentence, with what was simulated for the next smaller number of groups; none with a
        single group, which has no interval, and with more than were simulated.
    """
    count = n_groups(groups)
    simulated = [number for number in SIMULATED_COVERAGE if number <= count]
    if not simulated or count > max(SIMULATED_COVERAGE):
        return []
    least, most = SIMULATED_COVERAGE[max(simulated)]
    return [
        f"of {count} independent groups of images, 95 % intervals held the truth in "
        f"{100 * least:.0f} to {100 * most:.0f} % of simulations"
    ]
