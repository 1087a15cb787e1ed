"""Write the results of an experiment as a folder: one Markdown file and its pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from cellflow.atomic import write_text
from cellflow.experiments.curves import Axis, draw_validations
from cellflow.experiments.learning_curve import FORMS, N_MORE, draw_learning_curve, learning_curves
from cellflow.experiments.plan import Experiment
from cellflow.experiments.results import summarize
from cellflow.experiments.store import Row
from cellflow.experiments.table import experiment_page
from cellflow.wording import counted, some_of


def write_page(folder: Path, experiment: Experiment, rows: Sequence[Row]) -> str:
    """Write ``NAME.md`` with its pictures ``NAME-steps.png``, ``NAME-minutes.png`` and others.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    experiment : Experiment
    rows : sequence of Row
        As for `experiment_page`.

    Returns
    -------
    str
        The Markdown text.

    Raises
    ------
    DataError
        The first variant has no result yet, or a file cannot be written.
    """
    page = experiment_page(experiment, rows)
    pictures = _draw(folder, experiment, rows)
    parts = [f"# {experiment.name}", page]
    parts += [f"![{caption}]({path.name})\n\n*{caption}*" for path, caption in pictures]
    text = "\n\n".join(parts)
    write_text(folder / f"{experiment.name}.md", text + "\n")
    return text


def _draw(folder: Path, experiment: Experiment, rows: Sequence[Row]) -> list[tuple[Path, str]]:
    """Draw the available curves; give each picture with its caption."""
    names = [variant.name for variant in experiment.variants]
    results = summarize(rows, names, experiment.rank_by)
    pictures = []
    for axis in get_args(Axis):
        path = folder / f"{experiment.name}-{axis}.png"
        title = f"{experiment.name}: validation mAP against {axis}"
        drawn, left_out = draw_validations(path, title, results, experiment.rank_by, axis)
        if drawn:
            caption = (
                f"Validation mAP against {axis}: mean over the seeds, band from the lowest to the "
                f"highest of them; all held-out images, while training goes on."
                + _not_drawn(left_out)
            )
            pictures.append((path, caption))
    for number, curve in enumerate(learning_curves(rows, experiment.variants), 1):
        path = folder / f"{experiment.name}-images-{number}.png"
        draw_learning_curve(path, curve)
        caption = (
            f"mAP of {curve.name!r} against annotated images with 95 % intervals, and the fit "
            f"{next(iter(FORMS))}, {N_MORE} images further."
        )
        pictures.append((path, caption))
    return pictures


def _not_drawn(left_out: Mapping[str, str]) -> str:
    """Say which variants are not in the picture, and why; empty if all are."""
    if not left_out:
        return ""
    names_of: dict[str, list[str]] = {}
    for name, why in left_out.items():
        names_of.setdefault(why, []).append(repr(name))
    told = "; ".join(f"{some_of(names)}: {why}" for why, names in names_of.items())
    verb = "is" if len(left_out) == 1 else "are"
    return f" {counted(len(left_out), 'other')} {verb} not drawn ({told})."
