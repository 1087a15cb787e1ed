"""A trained baseline as a folder that holds all that prediction needs.

::

    baseline.json          model, classes, settings, operators, versions, seed, data hash, score
    weights.safetensors    the network
    README.md              the model card
    run.json metrics.csv … of the training, as in every run's folder

It is no model folder of cellflow's own: ``cellflow predict`` takes no baseline for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cellflow._version import __version__
from cellflow.atomic import atomic_path, write_json, write_text
from cellflow.baselines.baseline_card import write_baseline_card
from cellflow.baselines.initial_weights import WEIGHTS
from cellflow.baselines.settings import BaselineConfig
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.jsontext import read_object
from cellflow.network.model_folder import BASELINE

FORMAT = 1
"""Of `baseline.json`; a reader refuses a newer one."""

CARD = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFolder:
    """What the folder of a baseline says.

    Parameters
    ----------
    path : Path
    model : str
        One of `MODELS`.
    classes : tuple of str
        Kinds of cells, in the order of the network's outputs.
    config : BaselineConfig
        Settled.
    record : mapping
        The whole of ``baseline.json``.
    """

    path: Path
    model: str
    classes: tuple[str, ...]
    config: BaselineConfig
    record: Mapping[str, Any]

    def load_into(self, network: Any) -> None:
        """Give a network of the settings its weights.

        Raises
        ------
        ModelError
            They are missing, truncated or of another network.
        """
        load_weights_file(self.path / WEIGHTS, network)


def is_baseline_folder(path: Path) -> bool:
    """Tell whether a folder holds a trained baseline."""
    return (path / BASELINE).is_file()


def save_weights_file(path: Path, network: Any) -> None:
    """Write a network's tensors.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    # Some tensors may share memory, which the format does not know.
    state = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
        except SafetensorError as error:  # its word for a full disk
            raise OSError(0, str(error)) from error


def load_weights_file(path: Path, network: Any) -> None:
    """Read a network's tensors; raises as `BaselineFolder.load_into`."""
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: broken or truncated: {error}") from error
    except RuntimeError as error:
        raise ModelError(f"{path}: its tensors do not fit {BASELINE}: {error}") from error


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
        What else is kept: versions, operators, data, initial weights, run, score.
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
    """Read what the folder of a baseline says.

    Raises
    ------
    ModelError
        It is none, it is broken, or a newer cellflow wrote it.
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
