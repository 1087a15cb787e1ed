"""Rows of a store with any scores, as if somebody had trained."""

from cellflow.config import Config
from cellflow.configfile import config_to_dict
from cellflow.experiments.plan import Variant
from cellflow.experiments.store import Row


def variant(name, *, family="cellflow", group="", config=None, predict=None, **options):
    return Variant(
        name=name, family=family, options=options, config=config or Config(),
        predict=predict or {}, group=group,
    )  # fmt: skip


def row(name, scores, *, fold=0, seed=0, curve=(), config=None, family="cellflow", **facts):
    """Make a row of one fold; ``scores`` by image name, ``facts`` as the store keeps them."""
    images = {
        image: {"cell_type": "cort", "group": None, "score": score, "n_truths": 20,
                "n_predicted": 10, "precision": [score] * 10}
        for image, score in scores.items()
    }  # fmt: skip
    known = {"seconds": 60.0, "predict_seconds": 2.0, "peak_megabytes": 100.0, "n_steps": 40,
             "n_parameters": 1_000_000, "device": "cpu", "versions": {}, "conditions": {},
             "n_train": 8}  # fmt: skip
    return Row(
        variant=name, key=f"{name}-{fold}-{seed}", fold=fold, seed=seed,
        settings={"family": family, "options": {}, "config": config_to_dict(config or Config())},
        images=images, curve=tuple(curve), facts=known | facts,
    )  # fmt: skip


def spread(mean, n=12, step=0.02):
    """Scores of images ``i0`` … around a mean, the same way for every variant."""
    return {f"i{k}": mean + step * (k % 3 - 1) for k in range(n)}


def halves(name, scores, **how):
    """Make two rows: the first half of the images in fold 0, the others in fold 1."""
    names = list(scores)
    parts = names[: len(names) // 2], names[len(names) // 2 :]
    return [
        row(name, {image: scores[image] for image in part}, fold=fold, **how)
        for fold, part in enumerate(parts)
    ]
