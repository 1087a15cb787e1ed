"""Which trainings make one model, and with which settings and images each is done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cellflow.config import Config, Refit
from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_dataset
from cellflow.errors import ConfigError, DataError
from cellflow.telling import Say
from cellflow.training.materials import require_known_types, unseen_images
from cellflow.training.schedule import choose_rate
from cellflow.training.split import Split, overlapping_text, split_dataset

MAIN, PRETRAIN, REFIT = "main", "pretrain", "refit-validation"
"""Folders of the stages; pretraining stages are numbered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One of the trainings.

    Parameters
    ----------
    name : str
        Of its folder; empty for the last one, whose folder is the run's own.
    train_dir : Path
    config : Config
    split : Split or None
        None = as the settings say.
    """

    name: str
    train_dir: Path
    config: Config
    split: Split | None

    @property
    def is_pretraining(self) -> bool:
        """Whether it trains on another folder, before the main one."""
        return self.name.startswith(PRETRAIN)


def plan_stages(
    train_dir: Path,
    dataset: Dataset,
    outer: Split,
    config: Config,
    *,
    pretrain_dirs: Sequence[Path],
    refit: Refit | None,
    is_trained: bool,
    say: Say,
) -> list[Stage]:
    """Give all stages in their order.

    Parameters
    ----------
    train_dir : Path
    dataset : Dataset
        What `train_dir` holds.
    outer : Split
        Its validation images, if any, are held out of all stages.
    config : Config
        Of the main stage; its time budget is for all stages together.
    pretrain_dirs : sequence of Path
    refit : {"validation_then_train", "all"} or None
    is_trained : bool
        Whether the main stage starts from trained weights.
    say : callable

    Raises
    ------
    ConfigError
        There is no image that a refit could learn, or a setting names a cell type that does not
        occur.
    DataError
        All images of a folder show what is held out.
    """
    share = 1 - config.stages.pretrain_share if pretrain_dirs else 1.0
    rate = choose_rate(config.training, is_trained=is_trained)
    main = _scaled(config, share, learning_rate=rate)
    later = own_stages(train_dir, dataset, outer, main, refit)
    first = _pretraining(config, pretrain_dirs, _held_out(dataset, outer, later), say)
    for stage in later:
        require_known_types(_trained_on(dataset, stage), stage.config)
    return [*first, *later]


def _pretraining(
    config: Config, folders: Sequence[Path], held_out: Sequence[Entry], say: Say
) -> list[Stage]:
    """Give the stages on other folders, in their order, without what shows held-out images."""
    settings, stages = config.stages, []
    for number, train_dir in enumerate(folders, 1):
        changed = _scaled(
            config,
            settings.pretrain_share / len(folders),
            n_epochs=settings.pretrain_epochs or config.training.n_epochs,
        )
        # Cell types are those of the data that comes last.
        changed = replace(changed, augment=replace(config.augment, scale_range_by_type={}))
        kept, overlapping = unseen_images([train_dir], held_out)
        split = None
        if overlapping:
            say(f"{train_dir}: {overlapping_text(overlapping)}")
            if not kept:
                raise DataError(f"{train_dir}: all its images match held-out images")
            names = [entry.name for entry in kept]
            split = split_dataset(
                open_dataset(train_dir), config.training.validation_share, among=names
            )
        name = f"{PRETRAIN}-{number}"
        stages.append(Stage(name=name, train_dir=train_dir, config=changed, split=split))
    return stages


def own_stages(
    train_dir: Path, dataset: Dataset, outer: Split, config: Config, refit: Refit | None
) -> list[Stage]:
    """Give the stages on the training folder itself; the last one has no name."""
    settings = config.stages
    inner = split_dataset(dataset, config.training.validation_share, among=outer.train)
    if refit is None:
        split = outer if outer.validation else inner
        return [Stage(name="", train_dir=train_dir, config=config, split=split)]
    if not inner.validation:
        raise ConfigError(f"--final: there are no held-out images to train on ({inner.reason})")
    passes: list[tuple[str, Sequence[str]]] = [("", sorted([*inner.train, *inner.validation]))]
    if refit == "validation_then_train":
        passes = [(REFIT, inner.validation), ("", inner.train)]
    share = 1 / (1 + len(passes) * settings.refit_share)
    inner = replace(inner, kept_out=tuple(outer.validation))
    main = Stage(name=MAIN, train_dir=train_dir, config=_scaled(config, share), split=inner)
    again = _scaled(
        config,
        share * settings.refit_share,
        n_epochs=max(1, round(settings.refit_share * config.training.n_epochs)),
        learning_rate=settings.refit_rate * choose_rate(config.training),
        patience=None,
        keep="last",
    )
    stages = [main]
    for name, names in passes:
        held_out = () if name else tuple(outer.validation)
        split = Split(train=names, validation=held_out, reason=f"{outer.reason}; a refit")
        # Few held-out images need not be of all types.
        kinds = {entry.cell_type for entry in dataset.annotated if entry.name in set(names)}
        ranges = config.augment.scale_range_by_type.items()
        own = {kind: value for kind, value in ranges if kind in kinds}
        changed = replace(again, augment=replace(config.augment, scale_range_by_type=own))
        stages.append(Stage(name=name, train_dir=train_dir, config=changed, split=split))
    return stages


def _scaled(config: Config, share: float, **training: Any) -> Config:
    """Give the settings with a share of the time budget, if there is one, and other changes."""
    budget = config.training.max_minutes
    if budget is not None:
        training["max_minutes"] = budget * share
    return replace(config, training=replace(config.training, **training))


def _trained_on(dataset: Dataset, stage: Stage) -> list[Entry]:
    """Give the images of `dataset` that a stage trains on."""
    names = set(stage.split.train) if stage.split else set()
    return [entry for entry in dataset.annotated if entry.name in names]


def _held_out(dataset: Dataset, outer: Split, stages: Sequence[Stage]) -> list[Entry]:
    """Give the images of `dataset` that any stage is scored on."""
    names = set(outer.validation).union(*(s.split.validation for s in stages if s.split))
    return [entry for entry in dataset.annotated if entry.name in names]
