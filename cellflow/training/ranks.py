"""Processes that train one network together, as ``torchrun`` starts them; usually there is one.

Every process (rank) computes its share of each batch, and PyTorch's DistributedDataParallel
averages the gradients. Only the first one writes, reports, and decides what depends on time.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from cellflow.errors import CellflowError, ConfigError, TrainingDiverged
from cellflow.network.devices import DeviceChoice, choose_device
from cellflow.processors import n_processes
from cellflow.training.interruption import StepFinished

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""How long a process waits for another before it gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The place of this process among those that train together.

    Parameters
    ----------
    rank, size : int
        Which one it is, from 0, and how many there are.
    talk : process group, optional
        For small objects on the CPU, whatever carries the gradients.
    """

    rank: int = 0
    size: int = 1
    talk: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def any(self, value: bool) -> bool:
        """Tell all processes whether the value is true in any of them."""
        if self.size == 1:
            return value
        flag = torch.tensor([value], dtype=torch.uint8)
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.talk)
        return bool(flag)

    def gather(self, value: T) -> list[T]:
        """Give everyone's value to all, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.talk)
        return values

    def in_first(self, work: Callable[[], T]) -> T:
        """Call `work` in the first process only; return its result, or raise its error, in all.

        Raises
        ------
        CellflowError
            That `work` raised.
        """
        if self.size == 1:
            return work()
        outcome: list[Any] = [None]
        if self.is_first:
            try:
                outcome = [work()]
            except CellflowError as error:
                outcome = [error]
        dist.broadcast_object_list(outcome, src=0, group=self.talk)
        if isinstance(outcome[0], CellflowError):
            raise outcome[0]
        return cast(T, outcome[0])

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Give this process's share of the items: every `size`-th one."""
        return items[self.rank :: self.size]

    def average(self, tensor: torch.Tensor) -> torch.Tensor:
        """Replace a tensor on the device by its mean over the processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def spread(self, network: torch.nn.Module) -> torch.nn.Module:
        """Give a module that computes as `network` and averages the gradients over the processes.

        Notes
        -----
        All take the weights of the first one. Without `synchronize_statistics` batch normalisation
        sees only the crops of its own process, as in plain DDP.
        """
        parameters = [p for p in network.parameters() if p.requires_grad]
        devices = [parameters[0].device] if parameters[0].is_cuda else None
        return DistributedDataParallel(network, device_ids=devices)

    def align(self, network: torch.nn.Module) -> None:
        """Copy the buffers of the first process, running means and variances, to all."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


def synchronize_statistics(network: T, ranks: Ranks, device: torch.device) -> T:
    """Have batch normalisation see the crops of all processes, where PyTorch can: on CUDA devices.

    Notes
    -----
    The network's weights and their names stay as they are.
    """
    if ranks.size == 1 or device.type != "cuda":
        return network
    convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
    return cast(T, convert(network))  # type: ignore[no-untyped-call]


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[tuple[Ranks, DeviceChoice]]:
    """Join the other processes that ``torchrun`` has started, if it has.

    Parameters
    ----------
    device : str
        As for `choose_device`; among several processes ``auto`` and ``cuda`` give each its own.

    Yields
    ------
    Ranks, DeviceChoice

    Raises
    ------
    ConfigError
        The device is not available, or one and the same is asked for in several processes.
    """
    size = n_processes()
    if size == 1:
        yield Ranks(), choose_device(device)
        return
    chosen = _choose_own(device)
    is_cuda = chosen.device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(chosen.device)
    _init_group("nccl" if is_cuda else "gloo")
    talk, goes_alone = dist.new_group(backend="gloo", timeout=PATIENCE), False
    try:
        yield Ranks(rank=dist.get_rank(), size=size, talk=talk), chosen
    except BaseException as error:
        # These two are raised in all processes at once.
        goes_alone = not isinstance(error, StepFinished | TrainingDiverged)
        raise
    finally:
        # Leaving the group, NCCL waits for the other processes. After an error in this one alone
        # they wait for it instead, until it has ended: then the error is seen.
        if not goes_alone:
            dist.destroy_process_group()


def _init_group(backend: str) -> None:
    """Make the group of all processes, with its own prefix in their store.

    Notes
    -----
    Stages of a training make one group after the other in the same processes, and PyTorch uses the
    same keys for each. Without a prefix a process could read what another one wrote for the stage
    before: an address where nobody listens any more.
    """
    if dist.is_initialized():
        raise ConfigError("a training failed in these processes; restart them")
    store, rank, size = _common_store()
    own = dist.PrefixStore(f"group-{next(_GROUPS)}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=PATIENCE)


_GROUPS = count()


@cache
def _common_store() -> tuple[Any, int, int]:
    """Give the key-value store that all processes share as long as they live; rank and size."""
    found: tuple[Any, int, int] = next(dist.rendezvous("env://", timeout=PATIENCE))  # type: ignore[attr-defined]
    return found


def _choose_own(device: str) -> DeviceChoice:
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return choose_device("cpu")
    if device not in ("auto", "cuda"):
        raise ConfigError(
            f"--device {device}: several processes would share it; leave it out, so that each "
            "takes its own GPU, or use cpu"
        )
    return choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
