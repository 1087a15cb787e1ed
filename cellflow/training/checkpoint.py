"""The state of a run on disk: whole or absent, and exact enough to continue bit for bit.

There is no random state in it: every crop follows from (seed, epoch, slot), see `batches`.
"""

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from cellflow.atomic import atomic_path
from cellflow.errors import ModelError
from cellflow.network.cpnet import save_tensors
from cellflow.network.devices import is_out_of_memory
from cellflow.training.budget import Plan
from cellflow.training.optimizer import AveragedWeights
from cellflow.wording import first_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Place = TypeVar("Place", bound="DataclassInstance")

FORMAT = 2
"""Raised when the content of the file changes its meaning."""


@dataclass(kw_only=True)
class Position:
    """How far a run has come: the part of its state that is plain numbers.

    Parameters
    ----------
    n_epochs : int
        Planned length; a time budget may change it on the way.
    validate_every : int
        Epochs between validations; a time budget may change it too.
    epoch, step : int
        The next step and its epoch, from 0. A step equal to the epoch's length means that the
        epoch must still be closed (validated, written to the history).
    flow_loss, cell_loss : float
        Sums over the steps of the open epoch.
    n_parts : int
        Pieces in which a batch goes through the network; doubled when memory runs out.
    seconds : float
        Time spent so far, over all sittings.
    best_score : float
        Best validation score so far; -1 before the first.
    best_epoch : int
        Epochs done at that validation.
    """

    n_epochs: int
    validate_every: int
    epoch: int = 0
    step: int = 0
    flow_loss: float = 0.0
    cell_loss: float = 0.0
    n_parts: int = 1
    seconds: float = 0.0
    best_score: float = -1.0
    best_epoch: int = 0

    @property
    def plan(self) -> Plan:
        """The current plan."""
        return Plan(n_epochs=self.n_epochs, validate_every=self.validate_every)

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self.n_epochs, self.validate_every = plan.n_epochs, plan.validate_every


def save_checkpoint(
    path: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    position: "DataclassInstance",
    run_key: str,
    average: AveragedWeights | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Write the state of a run.

    Parameters
    ----------
    path : Path
    network, optimizer, average, scaler
        Their state is written as it is, on any device.
    position : Position, or another dataclass of plain numbers
    run_key : str
        Names data and settings; `load_checkpoint` refuses another one.

    Raises
    ------
    DataError
        The folder is read-only or the disk is full; the previous checkpoint is still there.
    """
    content = {
        "format": FORMAT,
        "run_key": run_key,
        "position": dataclasses.asdict(position),
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": None if average is None else average.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        save_tensors(content, file)


def load_checkpoint(
    path: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    run_key: str,
    average: AveragedWeights | None = None,
    scaler: torch.amp.GradScaler | None = None,
    *,
    kind: type[Place],
) -> Place:
    """Read the state of a run into its parts; give its position.

    Parameters
    ----------
    path, network, optimizer, run_key, average, scaler
        As for `save_checkpoint`.
    kind : type
        The position's dataclass.

    Raises
    ------
    ModelError
        There is no checkpoint, it is broken, or it belongs to other data or settings.
    """
    content = _read(path)
    if content.get("run_key") != run_key:
        raise ModelError(
            f"{path}: belongs to a run with other images, truth, folds or settings; "
            "restore them to continue it, or start a new run with another --out"
        )
    try:
        network.load_state_dict(content["network"])
        _keep_kernels(optimizer, content["optimizer"])
        optimizer.load_state_dict(content["optimizer"])
        _lay_out(optimizer)
        if average is not None:
            average.load_state_dict(content["average"])
        # Empty if the run comes from a device on which it was not in float16.
        if scaler is not None and content.get("scaler"):
            scaler.load_state_dict(content["scaler"])
        return kind(**content["position"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = first_line(error)
        raise ModelError(f"{path}: broken ({reason}); start a new run") from error


def _keep_kernels(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Keep the optimiser's choice of kernels for this device; the run may come from another."""
    for group, old in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        if "fused" in group:
            old["fused"] = group["fused"]


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give the optimiser's state of each weight the memory layout of the weight itself.

    Notes
    -----
    A file keeps the layout of the device that the run began on, see `image_layout`. Fused kernels
    walk through the memory of both: on CUDA they refuse different layouts, on a CPU they mix up
    values.
    """
    for weight, memory in optimizer.state.items():
        for name, value in memory.items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                memory[name] = torch.empty_like(weight, requires_grad=False).copy_(value)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path}: no checkpoint to continue from; start without --resume")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path}: not a readable checkpoint ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path}: not a checkpoint of this version of cellflow")
    return content
