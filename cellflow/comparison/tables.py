"""A comparison as text tables."""

from typing import TYPE_CHECKING

import numpy as np

from cellflow.metrics.score import EMPTY_CASES
from cellflow.records import Interval

if TYPE_CHECKING:
    from cellflow.comparison.compare import Comparison, PairedDifference


def comparison_table(comparison: "Comparison") -> str:
    """Give every score with its interval, then every paired difference in a sentence."""
    kinds = list(comparison.scores[0].per_cell_type)
    width = max(10, *map(len, comparison.names))
    lines = [f"{'submission':<{width}}    mAP  95 % interval     AP50  " + _columns(kinds)]
    for name, score in zip(comparison.names, comparison.scores, strict=True):
        mean = score.mean
        lines.append(
            f"{name:<{width}}  {mean.estimate:.3f}  {_interval(mean):<14}  "
            f"{score.overall.per_threshold[0]:.3f}  "
            + _columns([f"{score.per_cell_type[kind].mean.estimate:.3f}" for kind in kinds])
        )
    for pair in comparison.pairs:
        lines += ["", *_sentences(pair)]
    n_images = comparison.scores[0].overall.n_images
    lines += ["", f"{n_images} images, variant {comparison.scores[0].variant}. {EMPTY_CASES}"]
    lines += [f"{remark}." for remark in comparison.remarks]
    return "\n".join(lines)


def _sentences(pair: "PairedDifference") -> list[str]:
    difference = pair.difference
    if np.isnan(difference.low):
        return [
            f"{pair.first} and {pair.second}: difference {difference.estimate:+.3f}; so few images "
            "give no interval"
        ]
    if difference.low > 0:
        verdict = f"{pair.first} is better than {pair.second}"
    elif difference.high < 0:
        verdict = f"{pair.second} is better than {pair.first}"
    else:
        verdict = f"{pair.first} and {pair.second} cannot be told apart here"
    lines = [
        f"{verdict}: difference {difference.estimate:+.3f}, 95 % interval {difference.low:+.3f} "
        f"to {difference.high:+.3f}, paired by image;",
        f"  permutation p {_p_value(pair.p_value)}, {pair.probability_first_better:.1%} of the "
        f"draws favour {pair.first}; these images show a difference of "
        f"{pair.smallest_visible:.3f} or more.",
    ]
    for kind, one in pair.per_cell_type.items():
        interval = "no interval" if np.isnan(one.low) else f"{one.low:+.3f} to {one.high:+.3f}"
        lines.append(f"  {kind:<8} {one.estimate:+.3f}  {interval}")
    return lines


def _interval(mean: Interval) -> str:
    return "none" if np.isnan(mean.low) else f"{mean.low:.3f} to {mean.high:.3f}"


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _columns(cells: list[str]) -> str:
    return "  ".join(f"{cell:>7}" for cell in cells)
