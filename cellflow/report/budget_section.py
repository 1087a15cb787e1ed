"""The section on what limits the score: the error budget of every model."""

import numpy as np

from cellflow.metrics.cell_errors import KINDS
from cellflow.metrics.error_budget import ErrorBudget, image_errors, summarize_errors
from cellflow.report.markup import Section, bounds, figure, name, number, table, tag, text
from cellflow.report.plots import axis_row, interval_row, interval_scale, key
from cellflow.report.subject import Subject
from cellflow.wording import counted

MEANING = {
    "missed": "cells that nothing covers",
    "spurious": "found where there is no cell",
    "split": "one cell found as several",
    "merged": "several cells found as one",
    "boundary": "found, wholly or nearly, with another outline",
}


def budget_section(subject: Subject) -> Section:
    """Give the section of the error budget of a subject with truth."""
    budgets = [_budget(subject, model) for model in range(len(subject.models))]
    gains = [budget.kinds[kind].gain for budget in budgets for kind in KINDS]
    scale = interval_scale(gains, include=(0.0,))
    rows = [
        tag("div", tag("strong", text(kind)), " ", text(MEANING[kind]), class_="row-label")
        + tag(
            "div",
            *(
                interval_row(scale, model, budget.kinds[kind].gain, zero=True)
                for model, budget in enumerate(budgets)
            ),
        )
        for kind in KINDS
    ]
    rows.append(tag("div") + axis_row(scale, "gain in mAP if this were cured", signed=True))
    plot = key(subject.models) + tag("div", *rows, class_="rows")
    caption = (
        "What the score would gain if one kind of error were cured and everything else stayed, "
        "with 95 % intervals. The gains do not add up: a cell has to be found before its outline "
        "matters. The cure of the boundary gives every found cell its true outline, not only those "
        "that are counted under boundary, whose IoU is at most 0.5."
    )
    content = figure(plot, text(caption), _numbers(subject, budgets))
    return Section(anchor="errors", title="Error budget", content=content)


def _budget(subject: Subject, model: int) -> ErrorBudget:
    truths = subject.truths or {}
    return summarize_errors(
        [image_errors(truths[image], subject.cells(model, image)) for image in subject.images],
        rng=np.random.default_rng(0),
        strata=subject.cell_types,
        clusters=subject.scores[model].groups,
    )


def _numbers(subject: Subject, budgets: list[ErrorBudget]) -> str:
    rows = []
    for model, budget in zip(subject.models, budgets, strict=True):
        found = f"{budget.n_found:,} of {counted(budget.n_truths, 'cell', ',')} found"
        rows.append([name(model), text(found), f"{budget.n_predicted:,} predicted", "", "", ""])
        for kind in KINDS:
            one = budget.kinds[kind]
            rows.append(
                [
                    text(kind),
                    f"{one.n_truths:,}",
                    f"{one.n_predicted:,}",
                    f"{one.n_cured:,}",
                    number(one.gain.estimate, signed=True),
                    text(bounds(one.gain, signed=True)),
                ]
            )
    header = ["error", "true cells", "predicted cells", "changed by the cure"]
    header += ["gain in mAP", "95 % interval"]
    return table("Errors of each model", header, rows)
