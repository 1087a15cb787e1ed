"""Cellpose's U-Net: building it, its weights from and to files, the pretrained ones by name.

The only importer of cellpose. `cellpose.resnet_torch` is light; `cellpose.models`, which takes
seconds, is imported only to download weights.
"""

import io
import os
import pickle
from pathlib import Path
from typing import BinaryIO

import torch
from cellpose.resnet_torch import CPnet, resdown, resup

from cellflow.atomic import atomic_path
from cellflow.config import NetworkConfig
from cellflow.errors import ModelError

__all__ = [
    "FLOW_SCALE",
    "N_INPUTS",
    "N_OUTPUTS",
    "PRETRAINED",
    "CPnet",
    "build_network",
    "fetch_pretrained",
    "find_pretrained",
    "load_pretrained",
    "load_weights",
    "models_folder",
    "resdown",
    "resup",
    "save_cellpose_file",
    "save_tensors",
    "silence_style",
    "weights_terms",
]

FLOW_SCALE = 5.0
"""The network gives flows times this, so that both losses have a similar size (Cellpose)."""

N_INPUTS, N_OUTPUTS, KERNEL_SIZE = 2, 3, 3
"""Channel to segment and nuclear channel in; flow y, flow x and cell probability out."""

PRETRAINED = {
    "cyto3": "cyto3",
    "cyto2": "cyto2torch_0",
    "cyto": "cytotorch_0",
    "cyto2_cp3": "cyto2_cp3",
    "nuclei": "nucleitorch_0",
    "livecell_cp3": "livecell_cp3",
    "tissuenet_cp3": "tissuenet_cp3",
}
"""Names that users give, and Cellpose's names for the files."""
MODELS_URL = "https://www.cellpose.org/models/"
"""Where Cellpose 3.1 fetches those files."""

PRETRAINED_DIAMETER, NUCLEI_DIAMETER = 30.0, 17.0
"""Diameters in pixels at which Cellpose's models, and its nuclei model, see cells."""

TERMS = (
    "its training images are for non-commercial use (Cellpose data set: academic research; "
    "LIVECell: CC BY-NC 4.0)"
)


def build_network(config: NetworkConfig, generator: torch.Generator) -> CPnet:
    """Give the U-Net with random weights.

    Parameters
    ----------
    config : NetworkConfig
    generator : torch.Generator
        On the CPU; the weights depend on it alone. The global generator stays as it was.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator).item())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _new_network(config.channels_per_level, config.diam_mean)


def load_weights(path: Path | str) -> CPnet:
    """Give the U-Net of a file that Cellpose 3 or cellflow wrote.

    Parameters
    ----------
    path : path
        A Cellpose model file. Its sizes are read off its tensors.

    Raises
    ------
    ModelError
        The file is missing, is no such model, or is of Cellpose 4.
    """
    path = Path(path)
    state = _read_state(path)
    if "W2" in state or "output.2.weight" not in state:
        raise ModelError(f"{path}: not a Cellpose 3 U-Net (a file of Cellpose 4, or another model)")
    channels = _channels_of(state)
    network = _new_network(channels, PRETRAINED_DIAMETER)
    state = {name: tensor.float() for name, tensor in state.items() if tensor.is_floating_point()}
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: its tensors do not fit the U-Net: {error}") from error
    absent = [
        name
        for name in missing
        if not name.endswith(("num_batches_tracked", "diam_mean", "diam_labels"))
    ]
    if absent or unexpected:
        raise ModelError(f"{path}: tensors missing {absent[:3]}, unknown {unexpected[:3]}")
    return network


def load_pretrained(name: str) -> tuple[CPnet, Path]:
    """Give a pretrained U-Net, which sees cells at the diameter that Cellpose takes for it.

    Returns
    -------
    CPnet
    Path
        The file of its weights.

    Raises
    ------
    ModelError
        As `fetch_pretrained` and `load_weights`.
    """
    path = fetch_pretrained(name)
    network = load_weights(path)
    # As in Cellpose, whatever the file says.
    network.diam_mean.data.fill_(NUCLEI_DIAMETER if name == "nuclei" else PRETRAINED_DIAMETER)
    return network, path


def silence_style(network: CPnet) -> None:
    """Disconnect the style vector from the decoder: its weights become 0 and are not trained.

    Notes
    -----
    The vector is still computed, and the biases stay. The zeros are in every file of the model, so
    Cellpose finds the same cells with it.
    """
    for block in network.upsample.up:
        for number in (1, 2, 3):
            block.conv[number].full.weight.requires_grad_(False).zero_()


def save_cellpose_file(network: CPnet, path: Path | str) -> None:
    """Write the plain file that ``CellposeModel(pretrained_model=…)`` and the GUI load."""
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        save_tensors(state, file)


def save_tensors(content: object, file: BinaryIO) -> None:
    """Write with ``torch.save``.

    Raises
    ------
    OSError
        Such as for a full disk. The bytes are put together in memory first: if torch wrote to the
        file, it would raise a RuntimeError that does not name the cause.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    file.write(buffer.getbuffer())


def models_folder() -> Path:
    """Give the folder of Cellpose's pretrained files."""
    own = os.environ.get("CELLPOSE_LOCAL_MODELS_PATH")
    return Path(own) if own else Path.home() / ".cellpose" / "models"


def find_pretrained(name: str) -> Path:
    """Give the cached file of a pretrained model; downloads nothing.

    Raises
    ------
    ModelError
        The name is unknown, or its file is not there; says which file to put where.
    """
    if name not in PRETRAINED:
        raise ModelError(f"unknown pretrained model {name!r}; known: {', '.join(PRETRAINED)}")
    path = models_folder() / PRETRAINED[name]
    if not path.is_file():
        raise ModelError(f"no weights of {name} at {path}")
    return path


def fetch_pretrained(name: str) -> Path:
    """Give the file of a pretrained model, downloaded by Cellpose's own loader when not cached.

    Raises
    ------
    ModelError
        The name is unknown, or the file is neither cached nor downloadable; one line that says
        which file to put where.
    """
    try:
        return find_pretrained(name)
    except ModelError:
        if name not in PRETRAINED:
            raise
    from cellpose.models import model_path

    try:
        return Path(model_path(name))
    except (OSError, ValueError) as error:
        target = models_folder() / PRETRAINED[name]
        raise ModelError(
            f"weights of {name} are not at {target} and cannot be downloaded ({error}); put "
            f"{MODELS_URL}{PRETRAINED[name]} there (CELLPOSE_LOCAL_MODELS_PATH names another "
            "folder), or train with --init scratch"
        ) from error


def weights_terms(name: str) -> str | None:
    """Give the terms that come with pretrained weights, or None for the user's own."""
    return TERMS if name in PRETRAINED else None


def _new_network(channels: tuple[int, ...], diam_mean: float) -> CPnet:
    network = CPnet([N_INPUTS, *channels], N_OUTPUTS, KERNEL_SIZE, diam_mean=diam_mean)
    # Whatever PyTorch's default dtype is: all that travels between the rooms is float32.
    return network.to(torch.float32, memory_format=torch.channels_last)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, LookupError) as error:
        raise ModelError(f"{path}: broken, or not a Cellpose model file") from error
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise ModelError(f"{path}: not a Cellpose model file: expected named tensors")
    return state


def _channels_of(state: dict[str, torch.Tensor]) -> tuple[int, ...]:
    """Read the feature maps of each level off the first convolution of each."""
    channels: list[int] = []
    while (key := f"downsample.down.res_down_{len(channels)}.conv.conv_0.2.weight") in state:
        channels.append(int(state[key].shape[0]))
    return tuple(channels)
