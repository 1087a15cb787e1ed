"""The weights of a network in a safetensors file, whole or absent."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cellflow.atomic import atomic_path
from cellflow.errors import ModelError

WEIGHTS = "weights.safetensors"
"""Name of the file in the folder of a model or a baseline."""


def save_weights_file(path: Path, network: torch.nn.Module) -> None:
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
        except SafetensorError as error:  # its word for a full disk
            raise OSError(0, str(error)) from error


def load_weights_file(path: Path, network: torch.nn.Module, record: str) -> None:
    """Read the tensors of a network.

    Parameters
    ----------
    path : Path
    network : torch.nn.Module
        Built as the `record` beside the file says, for instance ``config.json``.
    record : str
        For the message.

    Raises
    ------
    ModelError
        The file is missing, truncated or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: broken or truncated: {error}") from error
    except RuntimeError as error:
        raise ModelError(f"{path}: its tensors do not fit {record}: {error}") from error
