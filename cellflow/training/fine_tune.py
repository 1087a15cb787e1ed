"""From a folder of annotated images to a model folder: the whole of ``cellflow train``."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cellflow.config import Config, NetworkConfig
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.network.devices import choose_device
from cellflow.training.initial import DEFAULT_INIT, SCRATCH, InitialWeights, initial_weights
from cellflow.training.levels import settle_levels
from cellflow.training.loop import Report, Say
from cellflow.training.materials import HARMLESS, Materials, gather_materials
from cellflow.training.run_folder import RunFolder, existing_run_folder, new_run_folder
from cellflow.training.schedule import choose_schedule
from cellflow.training.session import Session
from cellflow.training.split import Split, split_dataset


def fine_tune(
    train_dir: Path | str,
    out: Path | str | None = None,
    config: Config | None = None,
    *,
    init: str | Path | None = None,
    device: str = "auto",
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = lambda step, numbers: None,
    say: Say = lambda text: None,
) -> Path:
    """Train a network on a folder of annotated images.

    Parameters
    ----------
    train_dir : path
        Any layout that `open_dataset` recognises. Nothing is written there.
    out : path, optional
        The run's folder; by default the next free ``runs/train-NNN``. With `resume` the run to
        continue, by default the newest.
    config : Config, optional
        With `resume` None, or the same again; only what does not change the result (`HARMLESS`)
        may differ from `recorded_config`.
    init : str or path, optional
        ``scratch``, a pretrained name (default ``cyto3``), a Cellpose 3 file or a model folder.
    device : str
        ``auto``, ``cpu``, ``cuda[:N]`` or ``mps``.
    layout : str, optional
        Forces a layout, as for `open_dataset`.
    folds_file : path, optional
        Folds to share between models; without one, ``training.validation_share`` is held out.
    fold : int, optional
        Which fold of the file is held out, by default the first, 0.
    resume, overwrite : bool
        Continue the run in `out`, or replace it. With `resume` the run's own initial weights,
        layout and folds stand; asking for others is refused.
    report : callable
        ``report(step, numbers)`` after every step; numbers hold ``total``.
    say : callable
        ``say(text)`` with what was found, and why each value was chosen.

    Returns
    -------
    Path
        The run's folder, now a model folder.

    Raises
    ------
    DataError
        The data cannot be used, or the folder not be written.
    ConfigError
        A setting does not fit, or `out` is taken, or a continued run is asked for other settings.
    ModelError
        The initial weights are missing, the run cannot be continued, or training diverged.
    KeyboardInterrupt
        Ctrl-C; the step was finished and saved, `resume` continues.

    Notes
    -----
    On the CPU equal data, settings, seed, thread count and versions give equal weights, however
    often the run was interrupted, unless ``training.max_minutes`` makes time decide.
    """
    started = time.monotonic()
    if resume and overwrite:
        raise ConfigError("--resume continues a run and --overwrite replaces it; give one of them")
    train_dir, out = Path(train_dir), None if out is None else Path(out)
    chosen = choose_device(device)
    if resume:
        folder = existing_run_folder(out)
        asked = _Asked(config=config, init=init, layout=layout, folds_file=folds_file, fold=fold)
        weights, materials, config = _reopen(folder, train_dir, asked)
    else:
        config = config or Config()
        weights = initial_weights(init or DEFAULT_INIT, config.network, config.training.seed)
        config = _settled(config, weights)
        materials = gather_materials(
            train_dir, config, layout=layout, folds_file=folds_file, fold=fold
        )
        folder = new_run_folder(out, train_dir, overwrite=overwrite)
        folder.write_record(_run_record(weights, materials, config))
    for line in [*materials.dataset.remarks, *materials.describe(config)]:
        say(line)
    session = Session(
        folder=folder,
        weights=weights,
        materials=materials,
        config=config,
        device=chosen,
        report=report,
        say=say,
        started=started,
    )
    session.run(resume=resume)
    return folder.path


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the caller wants of a run that is continued; None = whatever it has."""

    config: Config | None
    init: str | Path | None
    layout: str | None
    folds_file: Path | str | None
    fold: int | None


def _settled(config: Config, weights: InitialWeights) -> Config:
    """Put in the sizes of pretrained weights, and what ``auto`` and the level stand for."""
    schedule = choose_schedule(config.training, config.training.n_epochs)
    return replace(
        config,
        network=weights.network_config(config.network),
        training=replace(config.training, schedule=schedule),
        augment=settle_levels(config.augment),
    )


def _run_record(weights: InitialWeights, materials: Materials, config: Config) -> dict[str, Any]:
    return {
        "run_key": materials.run_key(config),
        "initial_weights": {"name": weights.name, "terms": weights.terms},
        "split": asdict(materials.split),
        "layout": materials.dataset.layout,
        "config": config_to_dict(config),
    }


def _config_of(folder: RunFolder, record: dict[str, Any]) -> Config:
    try:
        return config_from_dict(record["config"])
    except (KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"{folder.path}: its record is broken ({error}); start anew") from error


def _reopen(
    folder: RunFolder, train_dir: Path, asked: _Asked
) -> tuple[InitialWeights, Materials, Config]:
    """Rebuild what a run began with; its weights come from its checkpoint.

    Raises
    ------
    ConfigError
        Other settings, folds, layout or initial weights are asked for.
    ModelError
        The images or their truth have changed.
    """
    record = folder.read_record()
    recorded = _config_of(folder, record)
    try:
        split = Split(**record["split"])
        name, terms = record["initial_weights"]["name"], record["initial_weights"]["terms"]
        run_key, layout = record["run_key"], record["layout"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder.path}: its record is broken ({error}); start anew") from error
    _refuse_change(folder, "--init", name, None if asked.init is None else str(asked.init))
    _refuse_change(folder, "--format", layout, asked.layout)
    config = _same_or_refuse(folder, recorded, asked.config)
    materials = gather_materials(train_dir, config, split, layout=layout)
    if materials.run_key(config) != run_key:
        raise ModelError(
            f"{folder.path}: images or truth in {train_dir} differ from those that the run began "
            "with; restore them, or start a new run"
        )
    if asked.folds_file is not None or asked.fold is not None:
        _refuse_other_folds(folder, materials, asked)
    network = initial_weights(SCRATCH, config.network, config.training.seed).network
    return InitialWeights(network=network, name=name, terms=terms), materials, config


def _refuse_change(folder: RunFolder, option: str, had: str, wanted: str | None) -> None:
    if wanted not in (None, had):
        raise ConfigError(
            f"{folder.path}: the run has {option} {had}, asked for {wanted}; leave {option} out to "
            "continue it, or start a new run"
        )


def _refuse_other_folds(folder: RunFolder, materials: Materials, asked: _Asked) -> None:
    wanted = split_dataset(materials.dataset, 0, asked.folds_file, asked.fold)
    had = materials.split
    if (list(wanted.train), list(wanted.validation)) != (had.train, had.validation):
        raise ConfigError(
            f"{folder.path}: the run holds out other images than asked for ({wanted.reason}); "
            "leave --folds and --fold out to continue it, or start a new run"
        )


def _same_or_refuse(folder: RunFolder, recorded: Config, asked: Config | None) -> Config:
    """Give the run's settings with the harmless ones that are asked for; refuse other changes."""
    if asked is None:
        return recorded
    had, wanted = config_to_dict(recorded), config_to_dict(asked)
    # What the start has settled: sizes of pretrained weights, what auto and the level stand for.
    wanted["augment"] = config_to_dict(replace(asked, augment=settle_levels(asked.augment)))[
        "augment"
    ]
    if asked.network == NetworkConfig():
        wanted["network"] = had["network"]
    if asked.training.schedule == "auto":
        wanted["training"]["schedule"] = had["training"]["schedule"]
    for name in HARMLESS:
        had["training"][name] = wanted["training"][name]
    changed = [
        f"{section}.{name} = {value!r}, asked for {wanted[section][name]!r}"
        for section, values in had.items()
        for name, value in values.items()
        if value != wanted[section][name]
    ]
    if changed:
        raise ConfigError(
            f"{folder.path}: the run has {'; '.join(changed)}; leave the settings out to continue "
            "it, or start a new run"
        )
    return config_from_dict(had)
