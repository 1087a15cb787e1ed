"""From a folder of annotated images to a model folder: the whole of ``cellflow train``."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cellflow.config import Config, NetworkConfig
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.network.devices import choose_device
from cellflow.training.initial import SCRATCH, InitialWeights, initial_weights
from cellflow.training.loop import Report, Say
from cellflow.training.materials import HARMLESS, Materials, gather_materials
from cellflow.training.run_folder import RunFolder, existing_run_folder, new_run_folder
from cellflow.training.session import Session
from cellflow.training.split import Split


def fine_tune(
    train_dir: Path | str,
    out: Path | str | None = None,
    config: Config | None = None,
    *,
    init: str | Path = "cyto3",
    device: str = "auto",
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int = 0,
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
        With `resume` those of the run are used; others are refused.
    init : str or path
        ``scratch``, a pretrained name, a Cellpose 3 file or a model folder.
    device : str
        ``auto``, ``cpu``, ``cuda[:N]`` or ``mps``.
    layout : str, optional
        Forces a layout, as for `open_dataset`.
    folds_file : path, optional
        Folds to share between models; without one, ``training.validation_share`` is held out.
    fold : int
        Which fold of the file is held out.
    resume, overwrite : bool
        Continue the run in `out`, or replace it.
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
        A setting does not fit, or `out` is taken.
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
    train_dir, out = Path(train_dir), None if out is None else Path(out)
    chosen = choose_device(device)
    if resume:
        folder = existing_run_folder(out)
        weights, materials, config = _reopen(folder, train_dir, config)
    else:
        weights = initial_weights(init, (config or Config()).network, _seed(config))
        config = _with_real_sizes(config or Config(), weights)
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


def _seed(config: Config | None) -> int:
    return (config or Config()).training.seed


def _with_real_sizes(config: Config, weights: InitialWeights) -> Config:
    """Put the sizes of pretrained weights into the settings."""
    return replace(config, network=weights.network_config(config.network))


def _run_record(weights: InitialWeights, materials: Materials, config: Config) -> dict[str, Any]:
    return {
        "run_key": materials.run_key(config),
        "initial_weights": {"name": weights.name, "terms": weights.terms},
        "split": asdict(materials.split),
        "layout": materials.dataset.layout,
        "config": config_to_dict(config),
    }


def _reopen(
    folder: RunFolder, train_dir: Path, asked: Config | None
) -> tuple[InitialWeights, Materials, Config]:
    """Rebuild what a run began with; its weights come from its checkpoint.

    Raises
    ------
    ConfigError
        Other settings are asked for.
    ModelError
        The images or their truth have changed.
    """
    record = folder.read_record()
    try:
        config = config_from_dict(record["config"])
        split = Split(**record["split"])
        name, terms = record["initial_weights"]["name"], record["initial_weights"]["terms"]
        run_key, layout = record["run_key"], record["layout"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder.path}: its record is broken ({error}); start anew") from error
    config = _same_or_refuse(folder, config, asked)
    materials = gather_materials(train_dir, config, split, layout=layout)
    if materials.run_key(config) != run_key:
        raise ModelError(
            f"{folder.path}: images or truth in {train_dir} differ from those that the run began "
            "with; restore them, or start a new run"
        )
    network = initial_weights(SCRATCH, config.network, config.training.seed).network
    return InitialWeights(network=network, name=name, terms=terms), materials, config


def _same_or_refuse(folder: RunFolder, config: Config, asked: Config | None) -> Config:
    """Give the run's settings with the harmless ones that are asked for; refuse other changes."""
    if asked is None or asked == Config():
        return config
    had, wanted = config_to_dict(config), config_to_dict(asked)
    # The sizes of pretrained weights are not asked for.
    wanted["network"] = had["network"] if asked.network == NetworkConfig() else wanted["network"]
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
