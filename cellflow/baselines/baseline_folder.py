"""A trained baseline as a folder with everything that prediction needs.

::

    baseline.json          model, classes, settings, operators, versions, seed, data hash, score
    weights.safetensors    the network
    README.md              the model card
    run.json metrics.csv … of the training, as in every run's folder

It differs from the model folder of cellflow's own models: ``cellflow predict`` does not accept it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflow._version import __version__
from cellflow.atomic import write_json, write_text
from cellflow.baselines.baseline_card import write_baseline_card
from cellflow.baselines.settings import BaselineConfig
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.jsontext import read_object
from cellflow.network.model_folder import BASELINE
from cellflow.network.weights_file import WEIGHTS, save_weights_file

FORMAT = 1
"""Version of the format of `baseline.json`; readers refuse newer ones."""

CARD = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFolder:
    """The content of a baseline's folder.

    Parameters
    ----------
    path : Path
    model : str
        One of `MODELS`.
    classes : tuple of str
        Classes of cells, in the order of the network's outputs.
    config : BaselineConfig
        With no setting left open.
    record : mapping
        The whole content of ``baseline.json``.
    """

    path: Path
    model: str
    classes: tuple[str, ...]
    config: BaselineConfig
    record: Mapping[str, Any]


def is_baseline_folder(path: Path) -> bool:
    """Tell whether a folder holds a trained baseline."""
    return (path / BASELINE).is_file()


def write_baseline_folder(
    folder: Path,
    network: Any,
    *,
    model: str,
    classes: tuple[str, ...],
    config: BaselineConfig,
    record: Mapping[str, Any],
) -> None:
    """Write weights, card and, last, ``baseline.json``.

    Parameters
    ----------
    folder : Path
    network : torch.nn.Module
    model, classes, config
        As in `BaselineFolder`.
    record : mapping
        Further content: versions, operators, data, initial weights, run, score.
    """
    content = {
        "format": FORMAT,
        "cellflow": __version__,
        "model": model,
        "classes": list(classes),
        **record,
        "config": config_to_dict(config),
    }
    save_weights_file(folder / WEIGHTS, network)
    write_text(folder / CARD, write_baseline_card(content))
    write_json(folder / BASELINE, content)


def read_baseline_folder(path: Path | str) -> BaselineFolder:
    """Read the folder of a baseline.

    Raises
    ------
    ModelError
        It is not a baseline's folder, is broken, or was written by a newer cellflow.
    """
    path = Path(path)
    if not is_baseline_folder(path):
        raise ModelError(f"{path}: not a trained baseline: it has no {BASELINE}")
    record = read_object(path / BASELINE, ModelError, newest=FORMAT)
    try:
        return BaselineFolder(
            path=path,
            model=str(record["model"]),
            classes=tuple(record["classes"]),
            config=config_from_dict(record["config"], BaselineConfig),
            record=record,
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"{path / BASELINE} is broken: {error}") from error
