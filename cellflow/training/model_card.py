"""The README of a model folder: what the model is, how good, and how to use it."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cellflow.config import Config, DynamicsConfig
from cellflow.metrics.score import EMPTY_CASES, Score
from cellflow.network.preprocess import describe_channels
from cellflow.training.recipe import RESIZED_BY
from cellflow.training.trained import role_of_held_out
from cellflow.wording import counted


def write_card(
    record: Mapping[str, Any], config: Config, diameter: float, score: Score | None
) -> str:
    """Give the model card as Markdown.

    Parameters
    ----------
    record : mapping
        What ``config.json`` holds beside the settings; see `Session`.
    config : Config
        Of the run.
    diameter : float
        Of the training cells, pixels.
    score : Score or None
        Of the held-out images; None when none were held out.
    """
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        "\n\n".join(
            [
                "# A cellflow model",
                "A Cellpose 3 flow-field network (U-Net) that finds cells in microscopy images.",
                _training(record, config, diameter),
                _score(record, config, score),
                _use(config),
                f"## Made with\n\n{versions}",
            ]
        )
        + "\n"
    )


def _training(record: Mapping[str, Any], config: Config, diameter: float) -> str:
    data, weights, run = record["data"], record["initial_weights"], record["run"]
    several = f"{run['n_processes']} x " if run["n_processes"] > 1 else ""
    lines = [
        "## Training",
        "",
        f"- **Data**: {counted(data['n_train'], 'image')} with "
        f"{counted(data['n_cells'], 'cell')} "
        f"(folder `{Path(data['folder']).name}`, layout {data['layout']}), "
        f"SHA-256 `{data['sha256']}`",
        f"- **Held out**: {counted(data['n_validation'], 'image')}, {data['split']}",
        f"- **Cell diameter**: {diameter:.1f} px, the median in the training images. Unless given "
        f"another one, prediction resizes images so that it becomes {config.network.diam_mean:g} "
        f"px, the size at which the network sees cells; training resized "
        f"{RESIZED_BY[config.training.rescaling]}",
        f"- **Input**: {describe_channels(config.data)}",
        f"- **Initial weights**: {weights['name']}",
        f"- **Length**: {counted(run['n_epochs'], 'epoch')}, "
        f"{counted(run['n_steps'], 'step')} of {counted(run['batch_size'], 'crop')}, "
        f"{run['seconds'] / 60:.1f} min on "
        f"{several}{run['device']}, {run['precision']}",
        f"- **Recipe**: {run['recipe']}",
        f"- **Weights kept**: of epoch {run['kept_epoch']} ({run['kept']})",
        f"- **Seed**: {run['seed']}",
    ]
    if record.get("cell_type_head"):
        lines.append(f"- **Cell types**: {_cell_types(record['cell_type_head'])}")
    if data["n_extra"]:
        n_extra = counted(data["n_extra"], "image")
        lines.append(f"- **Also trained on**: {n_extra} from other folders, never held out")
    if data["left_out"]:
        lines.append(f"- **Left out** for too few cells: {', '.join(data['left_out'])}")
    if weights["terms"]:
        lines += ["", f"> **Terms of the initial weights**: {weights['terms']}."]
    return "\n".join(lines)


def _cell_types(head: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{kind} ({counted(n, 'image')})" for kind, n in head["images"].items())
    shares = head["cross_validation"]
    return (
        f"prediction recognises {kinds} in the image; in cross-validation on the middle of "
        f"training images {shares['right']:.0%} right, {shares['wrong']:.0%} wrong, "
        f"{shares['abstained']:.0%} undecided (given the default thresholds); prediction "
        "uses whole images, for which these shares were not measured"
    )


def _score(record: Mapping[str, Any], config: Config, score: Score | None) -> str:
    if score is None:
        return "## Score\n\nNo images were held out, so there is no honest score."
    rows = {"all": score.overall, **score.per_cell_type}
    lines = [
        "## Score",
        "",
        "Mean average precision (mAP, IoU 0.50 to 0.95) on the held-out images with "
        f"{_thresholds(config.dynamics)}, and a bootstrap 95 % interval over images.",
        "",
        "| cell type | images | cells | found | mAP | 95 % interval | AP50 |",
        "|---|---:|---:|---:|---:|---|---:|",
    ]
    for name, one in rows.items():
        known = math.isfinite(one.mean.low)
        interval = (
            one.mean.bounds() if known else ("one image" if one.n_images == 1 else "one group")
        )
        lines.append(
            f"| {name} | {one.n_images} | {one.n_truths} | {one.n_predicted} | "
            f"{one.mean.estimate:.3f} | {interval} | {one.per_threshold[0]:.3f} |"
        )
    role = role_of_held_out(record)
    return "\n".join([*lines, "", f"The score is {role}. {EMPTY_CASES}"])


def _thresholds(dynamics: DynamicsConfig) -> str:
    """Say with which thresholds the flows were followed."""
    untuned = DynamicsConfig()
    changed = [
        f"{each.name} {getattr(dynamics, each.name):g}"
        for each in fields(dynamics)
        if getattr(dynamics, each.name) != getattr(untuned, each.name)
    ]
    return f"this run's {', '.join(changed)}" if changed else "Cellpose's default thresholds"


def _use(config: Config) -> str:
    return f"""## Use

```
cellflow predict IMAGES --model THIS_FOLDER --out submission.csv
```

```python
from cellflow import load_model
prediction = load_model("THIS_FOLDER").predict(image)   # .labels, .scores
```

In Cellpose 3: `CellposeModel(pretrained_model="THIS_FOLDER/cellpose_model")` and its
`eval(image, channels={list(config.data.channels)})`, or in its GUI *Models > Add custom torch
model to GUI*. Until `tuned` says otherwise, `thresholds.json` has
{_thresholds(config.dynamics)}."""
