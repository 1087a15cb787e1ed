"""What a run began with, according to its record, and what may differ when it is continued."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cellflow.config import Config, NetworkConfig
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.jsontext import Fields
from cellflow.network.model_folder import RECORD
from cellflow.training.initial import SCRATCH, InitialWeights, initial_weights
from cellflow.training.levels import settle_levels
from cellflow.training.materials import MAY_DIFFER, Materials, gather_materials
from cellflow.training.run_folder import ADVICE, RunFolder, existing_run_folder
from cellflow.training.schedule import choose_rate, choose_schedule
from cellflow.training.split import Split, split_dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the caller asks for; None means whatever the run has.

    Parameters
    ----------
    config : Config or None
    init, layout : str or None
    folds_file : path or None
    fold : int or None
    extra_dirs : tuple of str
        Other folders to train on.
    split : Split or None
        Replaces the folds and ``training.validation_share``.
    same_split : bool
        Whether the images held out must be those that the other choices lead to, even without
        `folds_file` and `fold`.
    """

    config: Config | None
    init: str | None
    layout: str | None
    folds_file: Path | str | None
    fold: int | None
    extra_dirs: tuple[str, ...]
    split: Split | None
    same_split: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """What a run starts from: the network before training, the data, the settings.

    Parameters
    ----------
    weights : InitialWeights
    materials : Materials
    config : Config
        Settled, see `settled`.
    asked : Config
        As the caller gave it.
    run_key : str
        Of the run when it began, from `Materials.run_key`; its checkpoints hold it too.
    extra_dirs : tuple of str
    """

    weights: InitialWeights
    materials: Materials
    config: Config
    asked: Config
    run_key: str
    extra_dirs: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Give what ``run.json`` says."""
        return {
            "run_key": self.run_key,
            "initial_weights": self.weights.record(),
            "split": asdict(self.materials.split),
            "layout": self.materials.dataset.layout,
            "extra_dirs": list(self.extra_dirs),
            "config": config_to_dict(self.config),
            "asked": config_to_dict(self.asked),
        }


def settled(config: Config, weights: InitialWeights) -> Config:
    """Put in the sizes of pretrained weights, and what ``auto``, None and the level stand for."""
    schedule = choose_schedule(config.training, config.training.n_epochs)
    rate = choose_rate(config.training, is_trained=weights.is_trained)
    return replace(
        config,
        network=weights.network_config(config.network),
        training=replace(config.training, schedule=schedule, learning_rate=rate),
        augment=settle_levels(config.augment),
    )


def recorded_config(out: Path | str | None = None) -> Config:
    """Give the settings of a run that can be continued.

    Parameters
    ----------
    out : path, optional
        The run's folder, by default the newest, as for `fine_tune`.

    Raises
    ------
    ModelError
        There is no run, or its record is broken.
    """
    folder = existing_run_folder(None if out is None else Path(out))
    return _config_of(folder, folder.read_record())


def reopen(folder: RunFolder, train_dir: Path, asked: Asked) -> Start:
    """Rebuild what a run began with.

    Notes
    -----
    A run that was ended before its first checkpoint begins with its initial weights again; else
    the network only has the right sizes, and the checkpoint holds its weights.

    Raises
    ------
    ConfigError
        Other settings, folds, layout or initial weights are asked for.
    ModelError
        The images, their truth or the initial weights have changed.
    """
    fields = folder.read_fields()
    record, split, had = fields.values, _split_of(fields), fields.inner("initial_weights")
    name, digest = had.text("name"), had.text("sha256")
    terms = None if had.values.get("terms") is None else had.text("terms")
    learnt = frozenset(had.texts("learnt"))
    run_key, layout = fields.text("run_key"), fields.text("layout")
    recorded = fields.texts("extra_dirs")
    # They may have been moved; that they hold the same is seen below.
    extra = asked.extra_dirs or recorded
    _refuse_change(folder, "--format", layout, asked.layout)
    _refuse_other_weights(folder, name, digest, asked.init)
    config = _same_or_refuse(folder, record, asked.config)
    is_asked = bool(asked.extra_dirs) or asked.same_split
    if is_asked and len(recorded) != len(asked.extra_dirs):
        _refuse_change(folder, "--extra-dir", ", ".join(recorded), ", ".join(asked.extra_dirs))
    materials = gather_materials(train_dir, config, split, layout=layout, extra_dirs=extra)
    if materials.run_key(_config_of(folder, record)) != run_key:
        if _places(extra) != _places(recorded):
            _refuse_change(folder, "--extra-dir", ", ".join(recorded), ", ".join(extra))
        beside = " or ".join(map(str, (train_dir, *extra)))
        raise ModelError(
            f"{folder.path}: images, truth or cell types in {beside} differ from those at "
            f"the start of the run, or its {RECORD} was changed; restore them, or start a new run"
        )
    is_asked = asked.folds_file is not None or asked.fold is not None or asked.split is not None
    if asked.same_split or is_asked:
        _refuse_other_folds(folder, materials, config.training.validation_share, asked)
    has_begun = folder.last.is_file()
    weights = initial_weights(SCRATCH if has_begun else name, config.network, config.training.seed)
    if not has_begun and weights.sha256 != digest:
        raise ModelError(f"{folder.path}: the weights of {name} have changed; start a new run")
    return Start(
        weights=replace(weights, name=name, terms=terms, sha256=digest, learnt=learnt, seen=None),
        materials=materials,
        config=config,
        asked=_config_of(folder, record, "asked"),
        run_key=run_key,
        extra_dirs=extra,
    )


def _split_of(fields: Fields) -> Split:
    """Give the split that a record holds."""
    split = fields.inner("split")
    return Split(
        train=list(split.texts("train")),
        validation=list(split.texts("validation")),
        reason=split.text("reason"),
        kept_out=split.texts("kept_out"),
    )


def _config_of(folder: RunFolder, record: Mapping[str, Any], key: str = "config") -> Config:
    """Give the settings that a record holds: as they were asked for, or as they were settled."""
    try:
        return config_from_dict(record[key])
    except (KeyError, TypeError, ConfigError) as error:
        what = "it is missing" if isinstance(error, KeyError) else error
        raise ModelError(f"{folder.path / RECORD}: {key}: {what}; {ADVICE}") from error


def _refuse_change(folder: RunFolder, option: str, had: str, wanted: str | None) -> None:
    if wanted not in (None, had):
        raise ConfigError(
            f"{folder.path}: the run there has {option} {had}, asked for {wanted}; {_way_out()}"
        )


def _refuse_other_weights(folder: RunFolder, had: str, digest: str, wanted: str | None) -> None:
    """Refuse other initial weights; the same ones in another place are the same."""
    if wanted is not None and wanted != had and Path(wanted).exists():
        is_same = initial_weights(wanted, NetworkConfig(), seed=0).sha256 == digest
        wanted = had if is_same else wanted
    _refuse_change(folder, "--init", had, wanted)


def _places(folders: Sequence[str]) -> list[Path]:
    return [Path(folder).resolve() for folder in folders]


def _refuse_other_folds(
    folder: RunFolder, materials: Materials, share: float, asked: Asked
) -> None:
    wanted = asked.split or split_dataset(materials.dataset, share, asked.folds_file, asked.fold)
    had = materials.split
    if (list(wanted.train), list(wanted.validation)) != (list(had.train), list(had.validation)):
        raise ConfigError(
            f"{folder.path}: the run there holds out other images ({had.reason}) than those "
            f"asked for ({wanted.reason}); {_way_out()}"
        )


def _same_or_refuse(folder: RunFolder, record: Mapping[str, Any], asked: Config | None) -> Config:
    """Give the run's settings with the harmless ones that are asked for; refuse other changes."""
    recorded = _config_of(folder, record)
    if asked is None:
        return recorded
    had = config_to_dict(recorded)
    before, wanted = (
        config_to_dict(replace(one, augment=settle_levels(one.augment)))
        for one in (_config_of(folder, record, "asked"), asked)
    )
    for section, name in MAY_DIFFER:
        had[section][name] = wanted[section][name]
    # As it was asked for then, such as "auto", or as what that came to.
    changed = [
        f"{section}.{name} = {value!r}, asked for {wanted[section][name]!r}"
        for section, values in had.items()
        for name, value in values.items()
        if wanted[section][name] not in (value, before[section][name])
    ]
    if changed:
        raise ConfigError(f"{folder.path}: the run there has {'; '.join(changed)}; {_way_out()}")
    return config_from_dict(had)


def _way_out() -> str:
    return (
        "continue that run with --resume, without this change, or choose another --out (--init can "
        "take the weights of that run), or replace the run with --overwrite"
    )
