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

    def load_into(self, network: Any) -> None:
        """Load the weights into a network built from `config`.

        Raises
        ------
        ModelError
            The weights are missing, truncated or for another network.
        """
        load_weights_file(self.path / WEIGHTS, network)


def is_baseline_folder(path: Path) -> bool:
    """Tell whether a folder holds a trained baseline."""
    return (path / BASELINE).is_file()


def save_weights_file(path: Path, network: Any) -> None:
    """Write the tensors of a network.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    # Some tensors may share memory, which the format does not support.
    state = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
        except SafetensorError as error:  # raised for a full disk, too
            raise OSError(0, str(error)) from error


def load_weights_file(path: Path, network: Any) -> None:
    """Read the tensors of a network; raises the same errors as `BaselineFolder.load_into`."""
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
