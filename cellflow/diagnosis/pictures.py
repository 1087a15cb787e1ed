"""Pictures of a diagnosis, as PNG."""

from pathlib import Path

from cellflow.diagnosis.annotation_limits import CHANGES
from cellflow.diagnosis.diagnose import Diagnosis
from cellflow.pictures.bars import draw_bars
from cellflow.pictures.curves import draw_curves


def draw_diagnosis(folder: Path, diagnosis: Diagnosis) -> list[Path]:
    """Draw the error budget, if there is a prediction, and the limits of the annotations.

    Returns
    -------
    list of Path
    """
    written = []
    groups = {
        kind: {name: one.gain for name, one in found.budget.kinds.items()}
        for kind, found in diagnosis.types.items()
        if found.budget is not None
    }
    if groups:
        path = folder / "error_budget.png"
        title = f"{diagnosis.name}: what the score would gain without one kind of error"
        draw_bars(path, title, groups, "mAP, 95 % interval over images")
        written.append(path)
    path = folder / "annotation_limits.png"
    sizes = [one.diameter for one in diagnosis.limits]
    quartiles = {name: [one.quartiles[name] for one in diagnosis.limits] for name in CHANGES}
    draw_curves(
        path,
        "IoU of a true cell with itself after one pixel of change: median and quartiles",
        {name: (sizes, [median for _, median, _ in each]) for name, each in quartiles.items()},
        "diameter of the cell, px (median of each class of area)",
        "IoU",
        bands={"mix": ([q[0] for q in quartiles["mix"]], [q[2] for q in quartiles["mix"]])},
        legend="lower right",  # the curves rise: a pixel matters less for larger cells
    )
    written.append(path)
    return written
