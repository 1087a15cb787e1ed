"""The trained baselines in experiments: Mask R-CNN, Cascade Mask R-CNN, the semantic U-Net.

::

    [[variant]]
    name = "Mask R-CNN"
    family = "mask-rcnn"
    preset = "report"
    pretrain_dir = ["livecell"]
    [variant.settings.training]     # sections of BaselineConfig
    iterations = 5000
    [variant.predict.dynamics]      # the same weights: minimum score and area of a cell
    score_threshold = 0.3
    min_size = 50
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellflow.config import Config
from cellflow.configfile import changes_from_default, config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.experiments.family import Family, Job
from cellflow.records import Prediction
from cellflow.telling import Report, Say
from cellflow.training.trained import Trained

if TYPE_CHECKING:
    from cellflow.baselines.settings import BaselineConfig


CELLS = {"dynamics.score_threshold": "score_threshold", "dynamics.min_size": "min_area"}
"""Settings that `Variant.predict` may change, with their names in `CellChoice`."""


class BaselineFamily(Family):
    """One of the models of ``cellflow baseline``.

    Parameters
    ----------
    model : {"mask-rcnn", "cascade-mask-rcnn", "unet"}

    Notes
    -----
    Of the settings of cellflow's own models only the seed and ``augment`` are used, which all
    families share; others are refused. There is no `step_seconds`: the time of an iteration depends
    on the cells in its crops.
    """

    OPTIONS = ("preset", "settings", "init", "pretrain_dir")
    DEFAULTS_OF_CONFIG = False

    def __init__(self, model: str) -> None:
        self.model = model

    def check(
        self, options: Mapping[str, Any], config: Config, predict: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check the settings, and that torchvision is installed if it is needed."""
        from cellflow.baselines.settings import RANDOM

        with_cells(baseline_config(self.model, options, config), predict)
        _folders(options)
        init = options.get("init", RANDOM)
        if init != RANDOM and not (isinstance(init, str) and Path(init).exists()):
            raise ConfigError(f"init: expected {RANDOM!r} or the path of weights, found {init!r}")
        if self.model != "unet":
            from cellflow.baselines.operators import load_torchvision

            try:
                load_torchvision()
            except ModelError as error:
                raise ConfigError(str(error)) from error

    def own_settings(
        self, options: Mapping[str, Any], config: Config
    ) -> Mapping[str, Mapping[str, Any]]:
        """Give the settings that result from the preset and the file."""
        whole = config_to_dict(baseline_config(self.model, options, config))
        return {f"settings.{section}": values for section, values in whole.items()}

    def n_steps(self, options: Mapping[str, Any], config: Config, n_images: int) -> int:
        """Give the iterations, including pretraining, which every training does for itself."""
        training = baseline_config(self.model, options, config).training
        before = training.pretrain_iterations if _folders(options) else 0
        return before + training.iterations

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train with `train_baseline`, which continues an interrupted training."""
        from cellflow.baselines.train import read_trained, train_baseline
        from cellflow.data.entrance import open_annotated

        config = baseline_config(self.model, job.options, job.config)
        others = [open_annotated(folder) for folder in _folders(job.options)]
        folder = train_baseline(
            self.model,
            job.train_entries,
            job.held_out,
            config,
            job.folder,
            train_dir=job.train_dir,
            init=str(job.options.get("init", "random")),
            pretrain=[entry for other in others for entry in other.annotated],
            device=job.device,
            report=report,
            say=say,
        )
        return read_trained(folder)

    def predict(self, job: Job, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Prediction]:
        """Predict with the baseline's folder."""
        from cellflow.baselines.baseline_model import load_baseline

        model = load_baseline(
            job.folder, job.device, change=lambda config: with_cells(config, changes)
        )
        for entry in job.held_out:
            yield model.predict(entry.load().image, entry.name)


def baseline_config(model: str, options: Mapping[str, Any], config: Config) -> "BaselineConfig":
    """Give the settings of a baseline: its preset, then ``settings``, then seed and augmentation.

    Raises
    ------
    ConfigError
        A setting is unknown, out of range, or exists only for cellflow's own models.
    """
    from cellflow.baselines.presets import preset
    from cellflow.baselines.settings import BaselineConfig

    changes = changes_from_default(config)
    seed = changes.get("training", {}).pop("seed", 0)
    augment, settings = changes.pop("augment", {}), options.get("settings", {})
    foreign = sorted(section for section, values in changes.items() if values)
    if foreign:
        raise ConfigError(
            f"{foreign[0]}.{min(changes[foreign[0]])}: of cellflow's own models, whose table is "
            f"[family.cellflow]; those of {model} are written settings.SECTION.KEY"
        )
    if not isinstance(settings, Mapping) or not all(
        isinstance(values, Mapping) for values in settings.values()
    ):
        raise ConfigError("settings: expected tables, such as [variant.settings.training]")
    tree = config_to_dict(preset(model, str(options.get("preset", "best"))))
    for section, values in settings.items():
        tree[section] = {**tree.get(section, {}), **values}
    if augment:
        tree["augment"] = config_to_dict(config)["augment"]
    tree["training"]["seed"] = seed
    return config_from_dict(tree, BaselineConfig)


def with_cells(
    config: "BaselineConfig", changes: Mapping[str, Mapping[str, Any]]
) -> "BaselineConfig":
    """Replace thresholds of the cells, which are named as for flow networks.

    Raises
    ------
    ConfigError
        `changes` has another setting of prediction.
    """
    asked = {f"{section}.{key}": v for section, part in changes.items() for key, v in part.items()}
    for name in asked:
        if name not in CELLS:
            known = ", ".join(CELLS)
            raise ConfigError(f"predict.{name}: the baselines have {known}, else settings.cells")
    cells = {CELLS[name]: value for name, value in asked.items()}
    return replace(config, cells=replace(config.cells, **cells))


def _folders(options: Mapping[str, Any]) -> list[str]:
    """Give the folders to pretrain on."""
    folders = options.get("pretrain_dir", [])
    if not isinstance(folders, list) or not all(isinstance(each, str) for each in folders):
        raise ConfigError(f"pretrain_dir: expected a list of folders, found {folders!r}")
    return folders
