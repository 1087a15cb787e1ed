"""The section of a model card about tuning; a later tuning replaces it."""

from pathlib import Path

from cellflow.atomic import write_text
from cellflow.network.model_folder import CARD
from cellflow.tuning.result import TuneResult

HEADING = "## Tuned thresholds"


def update_card(folder: Path, result: TuneResult) -> None:
    """Write the result of a tuning to the end of a model card, replacing an earlier one.

    Parameters
    ----------
    folder : Path
        Model folder; if it has no card, one with only this section is written.
    result : TuneResult

    Raises
    ------
    DataError
        The card cannot be written.
    """
    path = folder / CARD
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    before = before.partition(HEADING)[0].rstrip()
    text = f"{before}\n\n{section(result)}" if before else section(result)
    write_text(path, text)


def section(result: TuneResult) -> str:
    """Give the section as Markdown."""
    lines = [
        HEADING,
        "",
        "Chosen by `cellflow tune` on held-out images. *Honest* is the score of nested "
        "cross-validation: no image chose what it is scored with.",
        "",
        "| cell type | images | before | honest, 95 % interval | honest − before | on the images "
        "that chose |",
        "|---|---:|---:|---|---|---:|",
    ]
    for name, one in result.types.items():
        lines.append(
            f"| {name} | {one.n_images} | {one.default.estimate:.3f} | {one.nested} | {one.gain} | "
            f"{one.itself.estimate:.3f} |"
        )
    reliability = result.calibrated
    if result.obstacle:
        lines += ["", f"The confidence of a cell is not calibrated: {result.obstacle}."]
    else:
        lines += [
            "",
            f"Confidence of a cell: calibration error {result.raw.calibration_error:.3f} before "
            f"and {reliability.calibration_error:.3f} after calibration, on {reliability.n_cells} "
            f"cells of images that did not calibrate it, {reliability.share_right:.0%} of them "
            "right; "
            + ("it is calibrated." if result.is_calibration_taken else "it is left as it was."),
        ]
    lines += [
        "",
        "Curves and numbers: `tuning/`.",
        *(f"\n{remark[0].upper()}{remark[1:]}." for remark in result.remarks),
    ]
    return "\n".join(lines) + "\n"
