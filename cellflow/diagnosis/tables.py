"""A diagnosis as text of at most 100 columns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cellflow.metrics.cell_errors import BOUNDARY_IOU, FOUND_IOU, KINDS
from cellflow.metrics.score import EMPTY_CASES
from cellflow.wording import defined

if TYPE_CHECKING:
    from cellflow.diagnosis.annotation_limits import SizeLimits
    from cellflow.diagnosis.diagnose import Diagnosis, TypeDiagnosis


FATES = ("found", *KINDS)
"""Classes of cells, see `find_cell_errors`."""


def diagnosis_table(diagnosis: "Diagnosis") -> str:
    """Give error budget, boundary bias, ceilings and limits of the annotations."""
    rows = diagnosis.types
    width = max(9, *map(len, rows))
    parts = []
    if any(one.budget is not None for one in rows.values()):
        parts.append(_budgets(rows, width))
    parts += [_ceilings(rows, width), _limits(diagnosis.limits)]
    notes = [f"{remark}." for remark in diagnosis.remarks]
    return "\n\n".join([diagnosis.name, *parts, "\n".join([EMPTY_CASES, *notes])])


def _budgets(rows: Mapping[str, "TypeDiagnosis"], width: int) -> str:
    head = "".join(f"{kind:>16}" for kind in KINDS)
    lines = [
        "score, and what it would gain without one kind of error (cells that this would change)",
        f"{'cell type':<{width}}  score" + head,
    ]
    for name, one in rows.items():
        if one.budget is None:
            continue
        cells = []
        for kind in KINDS:
            cured = one.budget.kinds[kind]
            cells.append(f"{f'{cured.gain.estimate:+.3f} ({cured.n_cured})':>16}")
        lines.append(f"{name:<{width}}  {one.budget.score.estimate:.3f}" + "".join(cells))
    lines += [
        "changed: true cells, of spurious and split the predicted ones; boundary counts all found",
        "",
        f"classes of the cells; boundary: a pair with an IoU of {BOUNDARY_IOU} to {FOUND_IOU}",
        f"{'cell type':<{width}}  cells" + "".join(f"{kind:>10}" for kind in ("all", *FATES)),
        *(f"{name:<{width}}  {row}" for name, one in rows.items() for row in _fates(one)),
    ]
    lines += ["", f"{'cell type':<{width}}   found  of truth  mean IoU  boundary outside the truth"]
    lines += [f"{name:<{width}}  {_found(one)}" for name, one in rows.items()]
    return "\n".join(lines)


def _fates(one: "TypeDiagnosis") -> list[str]:
    """Give a row for the true and one for the predicted cells; each adds up to all cells."""
    budget = one.budget
    if budget is None:
        return []
    sides = (
        ("true ", budget.n_truths, [budget.kinds[kind].n_truths for kind in KINDS]),
        ("pred.", budget.n_predicted, [budget.kinds[kind].n_predicted for kind in KINDS]),
    )
    return [
        side + "".join(f"{number:>10}" for number in (n_cells, budget.n_found, *numbers))
        for side, n_cells, numbers in sides
    ]


def _found(one: "TypeDiagnosis") -> str:
    if one.budget is None or one.bias is None:
        return ""
    counts = f"{one.budget.n_found:6d}  {one.budget.n_truths:8d}  "
    iou, offset = f"{defined(one.budget.found_iou, '.3f'):>8}", one.bias.offset
    if not one.bias.n_cells:
        return f"{counts}{iou}  none"
    return (
        f"{counts}{iou}  {offset.estimate:+.2f} px ({offset.bounds('+.2f')}), "
        f"spread {one.bias.spread:.2f}"
    )


def _ceilings(rows: Mapping[str, "TypeDiagnosis"], width: int) -> str:
    lines = [
        "score of a perfect network: labels it is trained on, their largest pieces, through flows",
        f"{'cell type':<{width}}  images   cells  labels  pieces   flows",
    ]
    for name, one in rows.items():
        lines.append(
            f"{name:<{width}}  {one.n_images:6d}  {one.n_truths:6d}   "
            f"{one.flattened.estimate:.3f}   {one.largest_pieces.estimate:.3f}   "
            f"{one.through_flows.estimate:.3f}"
        )
    return "\n".join(lines)


def _limits(limits: tuple["SizeLimits", ...]) -> str:
    lines = [
        "IoU of a true cell with itself after one pixel of change: quartiles, by area",
        "area, px        cells  erosion           dilation          shift             mix"
        "               holds",
    ]
    for one in limits:
        area = f"{one.low} to {one.high - 1}" if one.high else f"{one.low} and more"
        quartiles = "  ".join(
            " ".join(f"{value:.2f}" for value in one.quartiles[name]).ljust(16)
            for name in ("erosion", "dilation", "shift", "mix")
        )
        holds = "none" if one.survives is None else f"{one.survives:.2f}"
        lines.append(f"{area:<13}  {one.n_cells:6d}  {quartiles}  {holds}")
    lines.append("holds: largest threshold that three of four cells pass after the mix of changes")
    return "\n".join(lines)
