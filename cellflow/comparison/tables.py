"""A comparison as text of at most 100 columns: first the answer, then the tables."""

import itertools
import string
from typing import TYPE_CHECKING

import numpy as np

from cellflow.comparison.formatting import p_value, visible_text, wrapped
from cellflow.comparison.power import N_FLIPS, SIGNIFICANCE
from cellflow.metrics.score import EMPTY_CASES
from cellflow.wording import counted, defined

if TYPE_CHECKING:
    from cellflow.comparison.result import (
        Breakdown,
        CocoPrecision,
        Comparison,
        FoundBy,
        Method,
        OverlapCost,
        PairedDifference,
        Slice,
        TunedCutoffs,
    )

NO_SCORES = "* without scores, so of a single point"
"""What a star behind COCO's precision means."""
WIDEST_NAME = 30
"""Longest displayed name of a method; longer ones lose their middle."""


def answer(comparison: "Comparison") -> str:
    """Say which method is best and how certain that is, in a sentence."""
    best, second = comparison.ranking.order[:2]
    score = dict(zip(comparison.names, comparison.scores, strict=True))
    pair = comparison.leading_pair
    images = counted(comparison.scores[0].overall.n_images, "image")
    means = f"{score[best].mean.estimate:.3f} against {score[second].mean.estimate:.3f}"
    if np.isnan(pair.difference.low):
        return f"No conclusion from {images}: {best} {means} of {second}, without an interval."
    difference = pair.difference if pair.first == best else pair.difference.turned()
    evidence = f"difference {difference.signed()}, p {p_value(pair.p_corrected)}, {images}"
    if pair.is_beyond_chance:
        return f"{best} is better than {second}: {means}; {evidence}."
    if pair.excludes_zero:
        return (
            f"{best} may be better than {second}: {means}; {evidence}. The permutation test does "
            f"not rule out chance: p is not below {SIGNIFICANCE}."
        )
    visible = "No difference, however large, would be beyond chance on so few images."
    if np.isfinite(pair.smallest_visible):
        visible = (
            f"This number of images can show a difference of {pair.smallest_visible:.3f} or more."
        )
    return f"{best} and {second} cannot be told apart: {means}; {evidence}. {visible}"


def comparison_table(comparison: "Comparison") -> str:
    """Give the answer, its caveats, and all tables."""
    blocks = [
        wrapped([answer(comparison), *(f"Note: {remark}." for remark in comparison.remarks)]),
        _scores(comparison),
        wrapped(_preparations(comparison)),
        _differences(comparison),
        *(_breakdown(comparison, one) for one in comparison.breakdowns),
        _found(comparison),
        _power(comparison),
        [f"Variant {comparison.scores[0].variant}. {EMPTY_CASES}"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _scores(comparison: "Comparison") -> list[str]:
    ranking = comparison.ranking
    width = max(6, *(len(_short(name)) for name in comparison.names))
    up_to = f"<= {ranking.up_to:.2f}"
    head = f"   {'method':<{width}}  cells    mAP  95 % interval    AP50   AP75  {up_to}"
    has_coco = any(method.coco for method in comparison.methods)
    lines = [head + ("  COCO AP" if has_coco else "")]
    for letter, method, score, lower in zip(
        _letters(comparison),
        comparison.methods,
        comparison.scores,
        ranking.scores_up_to,
        strict=True,
    ):
        ap50, ap75 = score.overall.per_threshold[0], score.overall.per_threshold[5]
        lines.append(
            f"{letter}  {_short(method.name):<{width}}  {score.overall.n_predicted:5d}  "
            f"{score.mean.estimate:.3f}  {score.mean.bounds():<14}  {ap50:.3f}  {ap75:.3f}  "
            f"{lower.estimate:>{len(up_to)}.3f}" + _coco(method.coco)
        )
    same = "changes the ranking to" if ranking.changes else "keeps the ranking"
    order = ", ".join(ranking.order_up_to) if ranking.changes else ""
    lines.append(f"Leaving out the IoU thresholds above {ranking.up_to:.2f} {same} {order}".strip())
    return lines


def _coco(coco: "CocoPrecision | None") -> str:
    if coco is None:
        return ""
    return f"{defined(coco.ap, '.3f'):>9}" + ("" if coco.has_scores else "*")


def _preparations(comparison: "Comparison") -> list[str]:
    """Say how each method was prepared for scoring, and what that cost."""
    sentences = []
    for letter, method in zip(_letters(comparison), comparison.methods, strict=True):
        sentences += [f"{one}." for one in preparation_sentences(letter, method)]
    coco = [method.coco for method in comparison.methods if method.coco is not None]
    if coco:
        most = max(one.max_detections for one in coco)
        has_scores = all(one.has_scores for one in coco)
        star = "" if has_scores else f"; {NO_SCORES}"
        sentences.append(
            "COCO AP: all detections, overlaps and scores as given, at most "
            f"{most:,} an image{star}."
        )
    return sentences


def preparation_sentences(name: str, method: "Method") -> list[str]:
    """Say how a method was cut and freed of overlap; nothing if it was scored as it is."""
    sentences = []
    if method.cutoffs is not None:
        sentences.append(f"{name} is cut {_cutoffs(method.cutoffs)}")
    if method.overlap is not None:
        first = "" if method.has_scores else " (without scores the first in the file wins)"
        sentences.append(f"{name} overlaps{first}: {_overlap(method.overlap)}")
    return sentences


def _cutoffs(cutoffs: "TunedCutoffs") -> str:
    parts = [
        f"{kind or 'other images'} score >= {score:.3g}" + (f" and {area} px" if area else "")
        for kind, (score, area) in sorted(
            cutoffs.per_cell_type.items(), key=lambda item: (item[0] == "", item[0])
        )
    ]
    types = "its own cell types" if cutoffs.types_from == "detections" else "the truth's cell types"
    return (
        f"by score and area, chosen for {types} on {cutoffs.n_folds} folds (on all images: "
        f"{'; '.join(parts)}): mAP {cutoffs.nested_score:.3f} on held-out folds, "
        f"{cutoffs.same_images_score:.3f} on the images chosen on"
    )


def _overlap(cost: "OverlapCost") -> str:
    return (
        f"rule {cost.rule} on {cost.n_detections} detections, {cost.n_overlapping} of which share "
        f"pixels; it drops {cost.n_dropped}, takes {cost.pixels_lost:.1%} of the pixels of the "
        f"others, and turns mAP {cost.score_before:.3f} into {cost.score_after:.3f}"
    )


def _differences(comparison: "Comparison") -> list[str]:
    lines = ["paired difference   95 % interval     Holm's p   first better   with <= 0.80"]
    if len(comparison.pairs) == 1:
        lines[0] = lines[0].replace("Holm's p", "       p")
    lower = comparison.ranking.differences_up_to
    for (a, b, pair), low in zip(_pairs(comparison), lower, strict=True):
        better = f"{pair.probability_first_better:.1%}"
        lines.append(
            f"{a} - {b}      {pair.difference.estimate:+.3f}   "
            f"{pair.difference.bounds('+.3f'):<16}  {p_value(pair.p_corrected):>7}   "
            f"{better:>12}   {low.signed()}"
        )
    flips = "all" if comparison.pairs[0].p_is_exact else f"{N_FLIPS:,} random"
    n_pairs = len(comparison.pairs)
    each = f", corrected for {n_pairs} pairs by Holm's rule" if n_pairs > 1 else ""
    lines.append(f"p: permutation test, {flips} flips of the images' signs{each}")
    return lines


def _breakdown(comparison: "Comparison", breakdown: "Breakdown") -> list[str]:
    if not breakdown.slices:
        return []
    letters = dict(zip(comparison.names, _letters(comparison), strict=True))
    pair = comparison.leading_pair
    row = comparison.pairs.index(pair)
    width = max(len(one.label) for one in breakdown.slices) + 2
    columns = "".join(f"{letter:>7}" for letter in letters.values())
    lines = [
        *wrapped([f"by {breakdown.by}: {breakdown.note}"]),
        f"{'':<{width}}images   cells{columns}   {letters[pair.first]} - {letters[pair.second]}",
    ]
    return lines + [f"{one.label:<{width}}{_slice(one, row)}" for one in breakdown.slices]


def _slice(one: "Slice", row: int) -> str:
    scores = "".join(f"{score.estimate:7.3f}" for score in one.scores)
    return f"{one.n_images:6d}  {one.n_truths:6d}{scores}   {one.differences[row].signed()}"


def _found(comparison: "Comparison") -> list[str]:
    lines = []
    best_two = set(comparison.ranking.order[:2])
    for a, b, pair in _pairs(comparison):
        heads = ("both", f"only {a}", f"only {b}", "neither")
        lines.append("true cells found   IoU >" + "".join(f"{head:>9}" for head in heads))
        for kind, counts in pair.found_by.items():
            if kind == "all" or {pair.first, pair.second} == best_two:
                lines += [_counts(kind, one) for one in counts]
        lines.append(
            f"oracle of {a} and {b}: {pair.oracle.per_image:.3f} with the better one on each "
            f"image, {pair.oracle.per_cell:.3f} with all that either finds right"
        )
    return lines


def _counts(kind: str, found: "FoundBy") -> str:
    cells = (found.both, found.only_first, found.only_second, found.neither)
    return f"{kind:<17}   {found.iou:.2f}" + "".join(f"{count:9d}" for count in cells)


def _power(comparison: "Comparison") -> list[str]:
    counts = list(comparison.pairs[0].smallest_visible_with)
    lines = [
        "smallest visible difference with"
        + "".join(f"{count:7d}" for count in counts)
        + " images   order flips"
    ]
    for a, b, pair in _pairs(comparison):
        if np.isnan(pair.smallest_visible):
            continue
        visible = "".join(
            f"{visible_text(value):>7}" for value in pair.smallest_visible_with.values()
        )
        lines.append(f"{f'{a} - {b}':<32}{visible}          {pair.flip_chance:10.1%}")
    if len(lines) == 1:
        return []
    hidden, share = comparison.hidden_images, comparison.public_share
    return lines + wrapped(
        [
            "visible: with 80 % power at the 5 % level, on images like these. order flips: chance "
            f"that {share * hidden:.0f} and {(1 - share) * hidden:.0f} other such images, as the "
            "public and the private part of a competition's, disagree on the order, if the "
            "difference is what it seems to be"
        ]
    )


def _letters(comparison: "Comparison") -> list[str]:
    n_methods = len(comparison.methods)
    letters = list(string.ascii_uppercase)
    return letters[:n_methods] if n_methods <= len(letters) else [str(i) for i in range(n_methods)]


def _pairs(comparison: "Comparison") -> list[tuple[str, str, "PairedDifference"]]:
    """Give every pair with the letters of its methods."""
    letters = itertools.combinations(_letters(comparison), 2)
    return [(a, b, pair) for (a, b), pair in zip(letters, comparison.pairs, strict=True)]


def _short(name: str) -> str:
    if len(name) <= WIDEST_NAME:
        return name
    half = (WIDEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
