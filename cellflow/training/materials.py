"""What a run trains on: the images of each side, their diameter, and one key for all of it."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from cellflow.config import Config, TuningConfig
from cellflow.configfile import config_to_dict
from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_annotated
from cellflow.errors import ConfigError, DataError, ModelError
from cellflow.inference.store import ROUNDING_ONLY
from cellflow.network.preprocess import check_image
from cellflow.training.prepared import prepared_folder
from cellflow.training.recipe import RESIZED_BY
from cellflow.training.split import Split, overlapping_text, split_dataset, without_held_out
from cellflow.training.survey import ImageFacts, fingerprint, median_diameter, survey_images
from cellflow.wording import counted, some_of

HARMLESS = ("max_minutes", "n_workers", "cache_megabytes", "store_prepared")
"""Training settings that do not change the weights of equally many steps."""

MAY_DIFFER = (
    *(("training", name) for name in HARMLESS),
    *(("inference", name) for name in ROUNDING_ONLY),
    *(("tuning", each.name) for each in fields(TuningConfig)),
)
"""Settings that may differ between the sittings of one run: (section, name)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Materials:
    """The data side of a run.

    Parameters
    ----------
    dataset : Dataset
    split : Split
    train, validation : tuple of ImageFacts
    left_out : tuple of str
        Training images with too few cells.
    extra : tuple of ImageFacts
        Images of other folders that are trained on as well; never held out.
    overlapping : tuple of str
        Images of those folders that show what is held out, and are therefore left out.
    diameter : float
        Median diameter of the training cells, pixels; prediction uses it.
    rescales : tuple of float
        Crop pixels per image pixel of each training image.
    """

    dataset: Dataset
    split: Split
    train: tuple[ImageFacts, ...]
    validation: tuple[ImageFacts, ...]
    left_out: tuple[str, ...]
    diameter: float
    rescales: tuple[float, ...]
    extra: tuple[ImageFacts, ...]
    overlapping: tuple[str, ...]

    @property
    def learnt(self) -> tuple[ImageFacts, ...]:
        """All images that are trained on, in the order of `rescales`."""
        return (*self.train, *self.extra)

    def sized(self, config: Config) -> "Materials":
        """Give the same data for the network of other settings, as weights that are loaded now."""
        return replace(self, **_sizes(self.train, self.extra, config))

    def record(self) -> dict[str, Any]:
        """Give what the model folder and the card say of the data."""
        return {
            "folder": str(self.dataset.root),
            "layout": self.dataset.layout,
            "sha256": fingerprint([*self.train, *self.validation]),
            "n_train": len(self.train),
            "n_validation": len(self.validation),
            "n_cells": sum(fact.n_cells for fact in self.train),
            "split": self.split.reason,
            "train": [fact.entry.name for fact in self.train],
            "validation": [fact.entry.name for fact in self.validation],
            "left_out": list(self.left_out),
            "n_extra": len(self.extra),
            "extra": [fact.entry.name for fact in self.extra],
            "extra_sha256": fingerprint(self.extra) if self.extra else None,
            "overlapping": list(self.overlapping),
        }

    def run_key(self, config: Config) -> str:
        """Give a hash of data, cell types, folds and all settings that change the result."""
        settings = config_to_dict(config)
        for name in HARMLESS:
            settings["training"].pop(name)
        settings.pop("tuning")
        sides = [
            [
                fingerprint(side),
                sorted((fact.entry.name, str(fact.entry.cell_type)) for fact in side),
            ]
            for side in (self.train, self.validation, self.extra)
        ]
        return hashlib.sha256(json.dumps([sides, settings]).encode()).hexdigest()

    def describe(self, config: Config) -> list[str]:
        """Say in one sentence each what was found, and why each value was chosen."""
        kinds = Counter(fact.entry.cell_type for fact in self.train)
        types = ", ".join(f"{name} {n}" for name, n in sorted(kinds.items(), key=str) if name)
        lines = [
            f"{self.dataset.root}: {self.dataset.layout} layout, "
            f"{_images_with_cells(self.train)} to train on" + (f" ({types})" if types else ""),
            f"held out: {counted(len(self.validation), 'image')}, {self.split.reason}",
        ]
        if self.left_out:
            few = counted(config.training.min_cells, "cell")
            names = ", ".join(self.left_out)
            lines.append(f"left out, fewer than {few} (training.min_cells): {names}")
        unmarked = [entry.name for entry in self.dataset if entry.read_masks is None]
        if unmarked:
            n_unmarked = counted(len(unmarked), "image")
            lines.append(f"left out, without masks: {n_unmarked} ({some_of(unmarked)})")
        if self.extra:
            lines.append(f"also trained on: {_images_with_cells(self.extra)} from other folders")
        if self.overlapping:
            lines.append(overlapping_text(self.overlapping))
        lines.append(
            f"cell diameter {self.diameter:.1f} px, the median in the training images; "
            f"the network sees cells at {config.network.diam_mean:g} px, training resizes "
            f"{RESIZED_BY[config.training.rescaling]}"
        )
        if config.training.rescaling == "cell_type":
            lines.append(
                "prediction resizes images of all types by that median; thresholds.json can set a "
                "diameter for each type"
            )
        return lines


def gather_materials(
    train_dir: Path,
    config: Config,
    split: Split | None,
    *,
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    extra_dirs: Sequence[Path | str] = (),
) -> Materials:
    """Open the data, split it, and read truth and hashes.

    Parameters
    ----------
    train_dir : Path
    config : Config
    split : Split or None
        Of the run that is continued; None = make one, or read it from the folds file.
    layout, folds_file, fold, extra_dirs
        As for `fine_tune`.

    Raises
    ------
    DataError
        There is no annotated image, or none with enough cells; or a file is broken.
    ImageError
        A picture that prediction would refuse, such as one with NaN or a missing channel.
    ConfigError
        Early stopping is asked for without held-out images; a setting names a cell type that does
        not occur; or prepared images are to be stored, but nothing says where.
    ModelError
        An image of the run that is continued is gone.
    """
    dataset = open_annotated(train_dir, layout)
    if split is None:
        split = split_dataset(dataset, config.training.validation_share, folds_file, fold)
    if config.training.patience is not None and not split.validation:
        raise ConfigError(
            f"training.patience: needs the score of held-out images, but none are held out "
            f"({split.reason}); do not set it, or hold some out"
        )
    if config.training.store_prepared:
        prepared_folder()  # before anything is written
    check = partial(check_image, config=config.data)
    facts = survey_images(_named(dataset, split.train), check)
    require_known_types((fact.entry for fact in facts), config)
    enough = tuple(fact for fact in facts if fact.n_cells >= config.training.min_cells)
    if not enough:
        raise DataError(
            f"{train_dir}: none of {counted(len(facts), 'training image')} has "
            f"{counted(config.training.min_cells, 'cell')}; lower training.min_cells"
        )
    validation = survey_images(_named(dataset, split.validation), check)
    unseen = _named(dataset, [*split.validation, *split.kept_out])
    extra, overlapping = _extra(extra_dirs, unseen, config)
    return Materials(
        dataset=dataset,
        split=split,
        train=enough,
        validation=validation,
        left_out=tuple(fact.entry.name for fact in facts if fact not in enough),
        extra=extra,
        overlapping=overlapping,
        **_sizes(enough, extra, config),
    )


def _images_with_cells(facts: Sequence[ImageFacts]) -> str:
    n_cells = sum(fact.n_cells for fact in facts)
    return f"{counted(len(facts), 'image')} with {counted(n_cells, 'cell')}"


def _extra(
    folders: Sequence[Path | str], held_out: Sequence[Entry], config: Config
) -> tuple[tuple[ImageFacts, ...], tuple[str, ...]]:
    """Give the images of other folders, and the names of those that show what is held out."""
    kept, overlapping = unseen_images(folders, held_out)
    facts = survey_images(kept, partial(check_image, config=config.data))
    few = config.training.min_cells
    return tuple(fact for fact in facts if fact.n_cells >= few), overlapping


def unseen_images(
    folders: Sequence[Path | str], held_out: Sequence[Entry]
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Give the images of other folders, and the names of those that show what is held out.

    Raises
    ------
    DataError
        A folder has no image with truth, or a file cannot be read.
    """
    entries = [entry for folder in folders for entry in open_annotated(folder).annotated]
    return without_held_out(entries, held_out)


def _named(dataset: Dataset, names: Sequence[str]) -> list[Entry]:
    known = dataset.by_name
    missing = [name for name in names if name not in known]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ModelError(
            f"{dataset.root}: {counted(len(missing), 'image')} of the folds {verb} not there or "
            f"not annotated ({some_of(missing)}); give the folder that the folds were made for"
        )
    return [known[name] for name in names]


def require_known_types(entries: Iterable[Entry], config: Config) -> None:
    """Refuse settings for a cell type that none of the images is of.

    Raises
    ------
    ConfigError
        Names the setting, and the types that there are.
    """
    known = {str(entry.cell_type) for entry in entries}
    for name in config.augment.scale_range_by_type:
        if name not in known:
            raise ConfigError(
                f"augment.scale_range_by_type.{name}: no training image has that cell type; "
                f"known: {', '.join(sorted(known))}"
            )


def _sizes(
    train: Sequence[ImageFacts], extra: Sequence[ImageFacts], config: Config
) -> dict[str, Any]:
    """Give what of `Materials` depends on the size at which the network sees cells."""
    diam_mean = config.network.diam_mean
    diameter = median_diameter(train, per_image=config.training.rescaling == "image")
    # Even with training.min_cells = 0 something must say how large cells are.
    diameter = diam_mean if math.isnan(diameter) else diameter
    rescales = _rescales((*train, *extra), config, diameter)
    return {"diameter": diameter, "rescales": rescales}


def _rescales(facts: Sequence[ImageFacts], config: Config, diameter: float) -> tuple[float, ...]:
    """Give the crop pixels per image pixel of each image; `diameter` stands in without cells."""
    rescaling = config.training.rescaling
    own = [fact.diameter for fact in facts]
    if rescaling == "dataset":
        own = [diameter for _ in facts]
    elif rescaling == "cell_type":
        kinds = {fact.entry.cell_type for fact in facts}
        of_kind = {
            kind: median_diameter(
                [fact for fact in facts if fact.entry.cell_type == kind], per_image=False
            )
            for kind in kinds
        }
        own = [of_kind[fact.entry.cell_type] for fact in facts]
    return tuple(config.network.diam_mean / (diameter if math.isnan(d) else d) for d in own)
