"""What a refit on the held-out images did to the score, measured on a fold that no stage saw.

Written into ``config.json`` and the model card. A model that was trained on all images has no score
of its own; it quotes what the same recipe reached on folds, and says so.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellflow.atomic import write_json, write_text
from cellflow.config import Refit
from cellflow.data.dataset import Dataset
from cellflow.errors import ConfigError, ModelError
from cellflow.inference.predict import load_model
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import mean_interval, paired_difference
from cellflow.metrics.few_groups import coverage_remark, independence_remark
from cellflow.network.model_folder import CARD, CONFIG, read_model_folder
from cellflow.training.split import Split
from cellflow.training.validation import Validator
from cellflow.wording import counted

HEADING = "\n## Refit on the held-out images\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Scores before and after a refit of the outer images: those that no stage saw.

    Parameters
    ----------
    before, after : dict of str to float
        Score of each image.
    cell_types, groups : dict of str to str or None
        Of these images: strata and clusters of the intervals. An image that they lack has none, and
        counts as independent.
    difference, mean_after : Interval
        After minus before, paired by image; and the mean after.
    runs : tuple of str
        Runs that it was measured in.
    """

    before: dict[str, float]
    after: dict[str, float]
    cell_types: dict[str, str | None]
    groups: dict[str, str | None]
    difference: Interval
    mean_after: Interval
    runs: tuple[str, ...]

    @classmethod
    def of(
        cls,
        before: dict[str, float],
        after: dict[str, float],
        runs: Sequence[str],
        *,
        cell_types: dict[str, str | None],
        groups: dict[str, str | None],
    ) -> "Effect":
        """Compute the intervals."""
        values = [np.array([scores[name] for name in before]) for scores in (after, before)]
        strata = [cell_types.get(name) for name in before]
        clusters = [groups.get(name) for name in before]
        rng = np.random.default_rng
        return cls(
            before=before,
            after=after,
            cell_types=cell_types,
            groups=groups,
            difference=paired_difference(*values, rng=rng(0), strata=strata, clusters=clusters),
            mean_after=mean_interval(
                values[0], rng=rng(0), strata=strata, clusters=clusters, within=(0, 1)
            ),
            runs=tuple(runs),
        )

    @property
    def sentence(self) -> str:
        """What was measured, and on how many images."""
        return (
            f"the refit changed mAP by {self.difference.signed()} to {self.mean_after} "
            f"on {counted(len(self.before), 'image')} that no stage saw"
        )

    @property
    def remarks(self) -> list[str]:
        """Why the intervals may be too narrow, one sentence each."""
        clusters = [self.groups.get(name) for name in self.before]
        n_unknown = clusters.count(None)
        if 0 < n_unknown < len(clusters):
            images = counted(len(clusters), "image")
            mixed = [
                f"the group (plate and well) of {n_unknown} of {images} is unknown: these count as "
                "independent, although frames and neighbours of one field are not"
            ]
        else:
            mixed = independence_remark(clusters)
        return [*mixed, *coverage_remark(clusters)]


def measured_effect(
    main: Path, final: Path, dataset: Dataset, outer: Split, device: str = "auto"
) -> Effect | None:
    """Score the outer images with the model before the refit and the one after it.

    Returns
    -------
    Effect or None
        None when there are no outer images.
    """
    if not outer.validation:
        return None
    noted = read_model_folder(final).record.get("refit")
    if noted and noted.get("measured"):
        return read_effect(noted["measured"], final)
    model = load_model(main, device=device)
    diameter = read_model_folder(main).diameter
    known = dataset.by_name
    validator = Validator(
        [known[name] for name in outer.validation], model.config, diameter, model.device
    )
    score = validator.score(model.network)
    before = dict(zip(score.names, map(float, score.image_scores), strict=True))
    images = read_model_folder(final).record["score"]["images"]
    after = {name: float(images[name]["score"]) for name in before}
    return Effect.of(
        before,
        after,
        [str(final)],
        cell_types=dict(zip(score.names, score.cell_types, strict=True)),
        groups=dict(zip(score.names, score.groups, strict=True)),
    )


def carried_estimate(runs: Sequence[Path], refit: Refit | None) -> Effect | None:
    """Combine what runs of the same recipe measured on their folds.

    Raises
    ------
    ConfigError
        A run measured nothing, had another recipe, or an image was in two folds.
    ModelError
        A run is no model folder.
    """
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    cell_types: dict[str, str | None] = {}
    groups: dict[str, str | None] = {}
    for run in runs:
        noted = read_model_folder(run).record.get("refit") or {}
        if noted.get("recipe") != refit or not noted.get("measured"):
            raise ConfigError(
                f"--estimate {run}: did not measure the refit {refit!r} on a fold; train it with "
                "--folds"
            )
        effect = read_effect(noted["measured"], run)
        if before.keys() & effect.before.keys():
            raise ConfigError(
                f"--estimate {run}: its fold shares images with the fold of another run"
            )
        before |= effect.before
        after |= effect.after
        cell_types |= effect.cell_types
        groups |= effect.groups
    if not runs:
        return None
    names = [str(run) for run in runs]
    return Effect.of(before, after, names, cell_types=cell_types, groups=groups)


def note_refit(
    folder: Path,
    refit: Refit,
    seen: Sequence[str],
    measured: Effect | None,
    carried: Effect | None,
) -> None:
    """Add to record and card the effect of the refit, and all images that were trained on."""
    record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    card = (folder / CARD).read_text(encoding="utf-8").partition(HEADING)[0]
    write_text(folder / CARD, card + HEADING + _section(refit, measured, carried))
    record["refit"] = {
        "recipe": refit,
        "trained_on": list(seen),
        "measured": None if measured is None else asdict(measured),
        "carried": None if carried is None else asdict(carried),
    }
    write_json(folder / CONFIG, record)


def _section(refit: Refit, measured: Effect | None, carried: Effect | None) -> str:
    how = {
        "validation_then_train": "on the images that validated, then on the training images",
        "all": "on all images together",
    }[refit]
    if measured is not None:
        told = f"Measured: {measured.sentence}."
        remarks = measured.remarks
    elif carried is not None:
        told = (
            "**Estimate, not measured on this model**, for which no image is left: with the same "
            f"recipe on other splits of the data {carried.sentence} "
            f"(runs {', '.join(carried.runs)}). This model saw more images than those."
        )
        remarks = carried.remarks
    else:
        told, remarks = "Every image was trained on. There is no score, and no estimate.", []
    told += "".join(f" {remark[0].upper()}{remark[1:]}." for remark in remarks)
    return f"\nTrained once more at a lower rate {how}. {told}\n"


def read_effect(noted: dict[str, Any], where: Path | str = "") -> Effect:
    """Read an `Effect` from a record.

    Raises
    ------
    ModelError
        The record is broken; names the folder `where`.
    """
    try:
        return Effect(
            before=noted["before"],
            after=noted["after"],
            cell_types=noted["cell_types"],
            groups=noted["groups"],
            difference=Interval.from_dict(noted["difference"]),
            mean_after=Interval.from_dict(noted["mean_after"]),
            runs=tuple(noted["runs"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{where}: refit.measured of {CONFIG} is broken: {error}") from error
