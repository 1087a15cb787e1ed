"""Which differences the data can show, next to the numbers that others reported."""

from collections.abc import Sequence

from cellflow.comparison.formatting import visible_text
from cellflow.comparison.power import IMAGE_COUNTS, holm, is_beyond_chance, smallest_visible
from cellflow.experiments.plan import Reported
from cellflow.experiments.results import Difference


def visibility(
    differences: Sequence[tuple[str, Difference]], reported: Sequence[Reported]
) -> list[str]:
    """Say which differences these images can show, and whether reported ones are that large.

    Parameters
    ----------
    differences : sequence of (name, Difference)
        To the first variant.
    reported : sequence of Reported

    Notes
    -----
    A difference is beyond chance if both the interval and p, corrected by Holm's rule, say so. The
    smallest visible difference is given as a range, from the most to the least precise pair; a
    reported difference counts as visible only if the least precise pair would show it.
    """
    lines = []
    usable = [each for _, each in differences if each.standard_error > 0]
    corrected = holm([each.p_value for _, each in differences])
    for (name, each), p_value in zip(differences, corrected, strict=True):
        if is_beyond_chance(each.interval, p_value):
            side = "above" if each.interval.estimate > 0 else "below"
            lines.append(f"{name!r} is {side} the first variant beyond chance on these images.")
    if differences and not lines:
        lines.append("On these images no variant can be distinguished from the first one.")
    if usable:
        lines.append(_smallest(usable))
    return [*lines, *_beside(usable, reported)]


def _smallest(usable: Sequence[Difference]) -> str:
    n_images = usable[0].n_images
    counts = sorted({n_images, *(count for count in IMAGE_COUNTS if count > n_images)})
    told = []
    for count in counts:
        sizes = [_visible(each, count) for each in usable]
        low, high = visible_text(min(sizes)), visible_text(max(sizes))
        told.append(f"{low if low == high else f'{low} to {high}'} with {count}")
    return (
        f"Smallest paired difference that is seen with 80 % power: {', '.join(told)} images of "
        "this kind."
    )


def _visible(one: Difference, count: int) -> float:
    found = smallest_visible(
        one.standard_error, one.n_images, [count], freedom=one.freedom, n_groups=one.n_groups
    )
    return found[count]


def _beside(usable: Sequence[Difference], reported: Sequence[Reported]) -> list[str]:
    if not reported:
        return []
    told = "; ".join(f"{one.name} {one.score:.4g}{_details(one)}" for one in reported)
    lines = [f"The seed report (one seed, no interval, other images): {told}."]
    if not usable or len(reported) < 2:
        return lines
    n_images = usable[0].n_images
    visible = max(_visible(each, n_images) for each in usable)
    first = reported[0]
    for one in reported[1:]:
        gap = one.score - first.score
        verb = "could" if abs(gap) >= visible else "could not"
        lines.append(
            f"Its difference {one.name} − {first.name} is {gap:+.3f}: {n_images} images such as "
            f"these {verb} show one of that size."
        )
    return lines


def _details(one: Reported) -> str:
    parts = [f"{one.minutes:g} min"] if one.minutes is not None else []
    parts += [one.note] if one.note else []
    return f" ({', '.join(parts)})" if parts else ""
