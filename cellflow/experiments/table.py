"""Results as a Markdown table, best first, with everything needed to interpret it."""

import math
from collections.abc import Sequence

from cellflow.experiments.fairness import fairness
from cellflow.experiments.learning_curve import describe_curve, learning_curves
from cellflow.experiments.plan import Experiment, RankBy
from cellflow.experiments.ranking import MEANING, N_LAST, fewest_validations, in_order
from cellflow.experiments.results import Difference, VariantResult, image_facts, summarize
from cellflow.experiments.search import Search, searches
from cellflow.experiments.store import Row
from cellflow.experiments.visible import visibility
from cellflow.metrics.few_groups import coverage_remark
from cellflow.wording import counted

ADVICE = "was it trained long enough, and do its thresholds fit?"
"""Printed for variants that found no cells, or no correct ones."""


def experiment_page(experiment: Experiment, rows: Sequence[Row]) -> str:
    """Give the full evaluation of an experiment as Markdown.

    Parameters
    ----------
    experiment : Experiment
    rows : sequence of Row
        From `run_experiment` or `finished_rows`.

    Raises
    ------
    DataError
        The first variant has no result yet.
    """
    names = [variant.name for variant in experiment.variants]
    results = summarize(rows, names, experiment.rank_by)
    found = searches(rows, experiment.variants)
    compared = [
        (one.name, one.difference) for one in found or results if one.difference is not None
    ]
    parts = [
        experiment.question,
        experiment_table(results, experiment.rank_by),
        search_table(found) if found else _unfinished(experiment),
        _listed(
            "What these images can tell",
            [*_few_images(rows), *visibility(compared, experiment.reported)],
        ),
        *(
            _listed("Learning curve", describe_curve(curve))
            for curve in learning_curves(rows, experiment.variants)
        ),
        _listed("Fairness", fairness(results, experiment.variants, found)),
    ]
    return "\n\n".join(part for part in parts if part)


def _few_images(rows: Sequence[Row]) -> list[str]:
    facts = image_facts(rows)
    groups = [image["group"] for image in facts.values()]
    return [f"{text.capitalize()}." for text in coverage_remark(groups)]


def experiment_table(results: Sequence[VariantResult], rank_by: RankBy) -> str:
    """Give the results as a Markdown table, best first, with remarks on how to read it."""
    kinds = list(results[0].per_cell_type)
    header = ["variant", "mAP", "95 % interval", *kinds, "difference", "95 % interval"]
    header += ["images", "seeds", "rate", "steps", "parameters", "min", "s / image", "MiB"]
    if rank_by != "last":
        header.append(rank_by)
    lines = [_row(header), _row(["---"] * len(header))]
    order = in_order([result.rank for result in results], rank_by)
    lines += [_row(_cells(results[place], kinds, rank_by)) for place in order]
    return "\n".join([*lines, "", *_remarks(results, rank_by)])


def search_table(found: Sequence[Search]) -> str:
    """Give the score of each search as a Markdown table, in the order of the file."""
    header = ["chosen on the other folds", "mAP", "95 % interval", "difference", "95 % interval"]
    header += ["settings", "chosen", "on its own images"]
    lines = [_row(header), _row(["---"] * len(header))]
    lines += [_row(_search_cells(one)) for one in found]
    text = (
        "Each image is scored with the setting that was best on the images of the other folds; the "
        "last column is what the best setting has on the images that chose it, too high. "
        f"Differences are to {found[0].name!r}."
    )
    return "\n".join([*lines, "", text])


def _unfinished(experiment: Experiment) -> str:
    """Say that searches cannot be scored yet, if the experiment has any."""
    groups = [variant.group for variant in experiment.variants]
    if len(set(groups)) == len(groups):
        return ""
    return "Grids are scored as searches once all their settings are done on two folds or more."


def _search_cells(one: Search) -> list[str]:
    is_search = one.n_candidates > 1
    return [
        one.name,
        f"{one.score.estimate:.3f}",
        one.score.bounds(),
        *_difference(one.difference),
        str(one.n_candidates),
        ", ".join(one.chosen) if is_search else "",
        f"{one.same_images_score:.3f}" if is_search else "",
    ]


def _cells(result: VariantResult, kinds: Sequence[str], rank_by: RankBy) -> list[str]:
    cells = [
        result.name,
        f"{result.score.estimate:.3f}",
        result.score.bounds(),
        *(
            f"{result.per_cell_type[kind].estimate:.3f}" if kind in result.per_cell_type else ""
            for kind in kinds
        ),
        *_difference(result.difference),
        str(result.n_images),
        str(result.n_seeds),
        result.learning_rate,
        str(result.n_steps),
        f"{result.n_parameters / 1e6:.3g} M",
        f"{result.minutes:.1f}",
        f"{result.predict_seconds:.1f}{'*' if result.flows_kept else ''}",
        "" if math.isnan(result.peak_megabytes) else f"{result.peak_megabytes:.0f}",
    ]
    if rank_by != "last":
        cells.append("not ranked" if math.isnan(result.rank) else f"{result.rank:.3f}")
    return cells


def _difference(difference: Difference | None) -> list[str]:
    if difference is None:
        return ["", ""]
    interval = difference.interval
    return [f"{interval.estimate:+.3f}", interval.bounds("+.3f")]


def _remarks(results: Sequence[VariantResult], rank_by: RankBy) -> list[str]:
    lines = [
        f"Out-of-fold mAP; each image is predicted by a model that never saw it. Differences are "
        f"to {results[0].name!r}, paired by image.",
        f"Ordered by {rank_by!r}: {MEANING[rank_by]}.",
        *_validation_remarks(results, rank_by),
    ]
    lines += _diverged(results)
    lines += [remark for result in results for remark in _without_score(result)]
    if any(result.flows_kept for result in results):
        lines.append(
            "With *: variants that differ in prediction alone read one output of the network; the "
            "first of them pays for it."
        )
    several = [result for result in results if result.n_seeds > 1]
    lines += [
        f"Seeds of {r.name!r}: {', '.join(f'{value:.3f}' for value in r.per_seed)}."
        for r in several
    ]
    if not several:
        lines.append("One seed: the intervals hold the choice of images, not that of the seed.")
    lines += [
        f"{r.name!r} is not done and not ranked: {r.n_images} images of "
        f"{counted(r.n_folds, 'fold')}."
        for r in _unfinished_results(results)
    ]
    return lines


def _unfinished_results(results: Sequence[VariantResult]) -> list[VariantResult]:
    most = max(result.n_images for result in results)
    return [result for result in results if result.n_images < most]


def _diverged(results: Sequence[VariantResult]) -> list[str]:
    counts = [sum(bool(row.facts.get("diverged")) for row in result.rows) for result in results]
    return [
        f"{result.name!r}: {count} of {counted(len(result.rows), 'training')} diverged and count "
        "as models that find no cell; steps and minutes are of the others."
        for result, count in zip(results, counts, strict=True)
        if count
    ]


def _without_score(result: VariantResult) -> list[str]:
    """Remark that no cells, or no correct ones, were found; divergence is remarked elsewhere."""
    images = [image for row in result.rows for image in row.images.values()]
    n_found = sum(image["n_predicted"] for image in images)
    has_diverged = all(row.facts.get("diverged") for row in result.rows)
    if has_diverged or any(image["score"] for image in images):
        return []
    if n_found == 0:
        return [f"{result.name!r} found no cell in any held-out image: {ADVICE}"]
    return [
        f"{result.name!r} scores 0.000 on every held-out image, as none of the "
        f"{counted(n_found, 'predicted cell')} has an IoU above 0.5 with a true one: {ADVICE}"
    ]


def _validation_remarks(results: Sequence[VariantResult], rank_by: RankBy) -> list[str]:
    """Name variants that cannot be ranked, and those with fewer than ten validations."""
    if rank_by == "last":
        return []
    unfinished = _unfinished_results(results)
    lines = [
        f"{result.name!r} is not ranked: its trainings have too few validations for {rank_by!r}."
        for result in results
        if math.isnan(result.rank) and result not in unfinished
    ]
    fewest = {r.name: fewest_validations(r.rows) for r in results if not math.isnan(r.rank)}
    if rank_by != "best" and fewest and min(fewest.values()) < N_LAST:
        name = min(fewest, key=fewest.__getitem__)
        lines.append(
            f"Not all have {N_LAST} validations: {name!r} has {fewest[name]}, all of which count; "
            "lower training.validate_every."
        )
    return lines


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{title}:", "", *(f"- {line}" for line in lines)]) if lines else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
