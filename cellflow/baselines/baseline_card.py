"""The README of a baseline's folder: what it is, its data, its score, how to use it."""

from collections.abc import Mapping
from typing import Any

from cellflow.interval import Interval
from cellflow.metrics.score import EMPTY_CASES
from cellflow.training.trained import role_of_held_out
from cellflow.wording import counted

NAMES = {
    "mask-rcnn": "Mask R-CNN (torchvision)",
    "cascade-mask-rcnn": "Cascade Mask R-CNN (cellflow's own, on torchvision's parts)",
    "unet": "semantic U-Net with watershed (background, inside, boundary)",
}


def write_baseline_card(record: Mapping[str, Any]) -> str:
    """Give the card as Markdown.

    Parameters
    ----------
    record : mapping
        The content of ``baseline.json``.
    """
    data, run, config = record["data"], record["run"], record["config"]
    lines = [
        "# A baseline of cellflow",
        "",
        f"{NAMES[record['model']]}, to compare cellflow's own models with.",
        "",
        "## Training",
        "",
        f"- **Data**: {counted(data['n_train'], 'image')} with "
        f"{counted(data['n_cells'], 'cell')}, "
        f"SHA-256 `{data['sha256']}`; densest image {counted(data['densest'], 'cell')}",
        f"- **Held out**: {counted(data['n_validation'], 'image')}",
        f"- **Classes**: {', '.join(record['classes'])}",
        f"- **Initial weights**: {record['initial_weights']}",
        f"- **Length**: {counted(run['n_steps'], 'iteration')} of "
        f"{counted(config['training']['batch_size'], 'crop')}, "
        f"{run['seconds'] / 60:.1f} min on {run['device']}, {run['precision']}",
        f"- **Weights kept**: {run['kept']}, of iteration {run['kept_step']}",
        f"- **Operators**: {record['operators']}",
        f"- **Seed**: {run['seed']}",
        "",
        "## Score",
        "",
        *_score(record),
        "",
        "## Use",
        "",
        "```",
        "cellflow baseline predict IMAGES --model THIS_FOLDER --out submission.csv",
        "```",
        "",
        "## Made with",
        "",
        ", ".join(f"{name} {number}" for name, number in record["versions"].items()),
    ]
    return "\n".join(lines) + "\n"


def _score(record: Mapping[str, Any]) -> list[str]:
    if record["score"] is None:
        return ["No images were held out, so there is no honest score."]
    overall = record["score"]["overall"]
    mean = Interval(estimate=overall["mean"], low=overall["low"], high=overall["high"])
    role = role_of_held_out(record)
    return [f"mAP on the held-out images: {mean}. It is {role}. {EMPTY_CASES}"]
