"""Initial weights of a baseline: random, from a file, or from an earlier model.

Nothing is downloaded; torchvision's own loader would do so silently.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cellflow.baselines.settings import RANDOM
from cellflow.errors import ModelError
from cellflow.network.weights_file import WEIGHTS

KNOWN_FILES = {
    "resnet50": "resnet50-0676ba61.pth (ImageNet), maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth (COCO)",
    "resnet101": "resnet101-63fe2227.pth (ImageNet)",
    "resnet18": "resnet18-f37072fd.pth (ImageNet)",
}
"""Names of torchvision's files, for the message that one is missing."""

_BODY = "backbone.body."
_SINGLE_HEAD = "roi_heads.box_head."
_STAGE_HEADS = "roi_heads.box_heads."


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was loaded from other weights.

    Parameters
    ----------
    n_taken : int
        Number of the network's tensors that were loaded.
    left : tuple of str
        Names of the network's parameters that remain random.
    """

    n_taken: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        """Format as ``312 tensors taken, 4 parameters stay random: roi_heads.mask_predictor.…``."""
        if not self.left:
            return f"all {self.n_taken} tensors taken"
        parts = sorted({".".join(name.split(".")[:2]) for name in self.left})
        return f"{self.n_taken} tensors taken, {len(self.left)} stay random: {', '.join(parts)}"


def read_weights(init: str, backbone: str) -> dict[str, torch.Tensor]:
    """Read the tensors of a file, or of a baseline's folder.

    Parameters
    ----------
    init : str
        Path.
    backbone : str
        Of the network, for the message.

    Raises
    ------
    ModelError
        The file is missing, or contains no named tensors.
    """
    path = Path(init)
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise ModelError(
            f"--init {init}: no such weights; put torchvision's "
            f"{KNOWN_FILES.get(backbone, 'file')} there, or use --init {RANDOM}"
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError) as error:
        raise ModelError(f"{path}: broken, or not a weights file ({error})") from error
    except (pickle.UnpicklingError, SafetensorError) as error:
        raise ModelError(f"{path}: broken, or not a weights file") from error
    while isinstance(state, dict) and len(state) < 5 and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise ModelError(f"{path}: expected named tensors, as torchvision's files hold them")
    return state


def take_weights(network: Any, state: Mapping[str, torch.Tensor], source: str) -> Taken:
    """Load the weights that fit, and leave the rest of the network unchanged.

    Parameters
    ----------
    network : torch.nn.Module
    state : mapping of str to tensor
        Of the same network, of a torchvision detector, or of an ImageNet classifier, which is
        loaded into the backbone.
    source : str
        For the message.

    Raises
    ------
    ModelError
        Nothing fits.

    Notes
    -----
    Class heads fit only if the number of classes is the same. The box head of a Mask R-CNN is
    loaded into every stage of a cascade.
    """
    own = network.state_dict()
    offered = _renamed(state, own)
    fitting = {
        name: tensor
        for name, tensor in offered.items()
        if name not in own or own[name].shape == tensor.shape
    }
    try:
        missing, unexpected = network.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # from tensors that torchvision renames itself
        raise ModelError(f"{source}: its tensors do not fit this network: {error}") from error
    n_taken = len(fitting) - len(unexpected)
    if n_taken == 0:
        raise ModelError(
            f"{source}: none of its {len(state)} tensors fits this network; "
            "is it for another model or backbone?"
        )
    parameters = {name for name, _ in network.named_parameters()}
    return Taken(n_taken=n_taken, left=tuple(name for name in missing if name in parameters))


def is_for_frozen_norms(state: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether the weights include the means and variances of batch normalisation."""
    return any(name.endswith("running_mean") for name in state)


def _renamed(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Give the tensors under the network's names for them."""
    is_classifier = "conv1.weight" in state and f"{_BODY}conv1.weight" in own
    offered = {f"{_BODY}{n}" if is_classifier else n: t for n, t in state.items()}
    n_stages = sum(1 for name in own if name.startswith(_STAGE_HEADS) and name.endswith("fc6.bias"))
    for name in [name for name in offered if name.startswith(_SINGLE_HEAD)]:
        for stage in range(n_stages):
            offered[f"{_STAGE_HEADS}{stage}.{name.removeprefix(_SINGLE_HEAD)}"] = offered[name]
    return offered
