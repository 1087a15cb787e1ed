"""Which device to compute on, and why."""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from cellflow.errors import ConfigError
from cellflow.wording import first_line

OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "unable to find an engine",
    "unable to find a valid cudnn",
)
"""What error messages contain, in lower case, when memory runs out. The last three are from CUDA's
libraries, which need memory beside the tensors; they may have other causes too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """A device and the reason for it.

    Parameters
    ----------
    device : torch.device
    reason : str
        For the user: what it is, and why it was taken.
    """

    device: torch.device
    reason: str

    def __str__(self) -> str:
        """Write ``cuda:0 (NVIDIA H200)``."""
        return f"{self.device} ({self.reason})"


def choose_device(text: str = "auto") -> DeviceChoice:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device that is there.

    Raises
    ------
    ConfigError
        The device is unknown, or this machine or this torch does not have it.
    """
    if text == "auto":
        return _choose_auto()
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise ConfigError(f"device: expected auto, cpu, cuda[:N] or mps, found {text!r}") from error
    if device.type == "cpu":
        return DeviceChoice(device=device, reason=f"{torch.get_num_threads()} threads")
    if device.type == "cuda":
        return _choose_cuda(device)
    if device.type == "mps" and torch.backends.mps.is_available():
        return DeviceChoice(device=device, reason="Apple GPU")
    raise ConfigError(f"device {text!r} is not available here; --device cpu always works")


def send(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Give an array as a tensor on the device, without waiting for a GPU.

    Notes
    -----
    From memory that is not page-locked PyTorch would wait until the GPU has finished all its work.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=may_send_ahead(device))


def may_send_ahead(device: torch.device) -> bool:
    """Tell whether copies to the device may be asynchronous.

    Notes
    -----
    Not to Apple's GPUs: they might read memory that has been reused (PyTorch issue 189690).
    """
    return device.type != "mps"


def image_layout(device: torch.device) -> torch.memory_format:
    """Give the memory layout of weights and images in which convolutions are fastest.

    Notes
    -----
    On Apple's GPUs the gradients of batch normalisation are wrong in channels-last (PyTorch issue
    175189), so they use the default layout.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on any device."""
    # The name that every supported PyTorch has; `torch.OutOfMemoryError` is newer.
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY)


def cuda_fault(index: int) -> str:
    """Say why a CUDA device that is present does not work; empty if it does.

    Notes
    -----
    The driver may be too old for this torch, or the device too old to be supported by it.
    """
    if not torch.cuda.is_available():
        return f"its driver does not support torch {torch.__version__}"
    try:
        torch.ones(1, device=f"cuda:{index}").add_(1).item()
    except RuntimeError as error:
        # A device without free memory works; the user is told of the memory later.
        if not is_out_of_memory(error):
            return first_line(error)
    return ""


def _choose_auto() -> DeviceChoice:
    found = "no GPU found"
    for index in range(torch.cuda.device_count()):
        fault = cuda_fault(index)
        if not fault:
            return DeviceChoice(device=torch.device("cuda", index), reason=_cuda_name(index))
        found = f"cuda:{index} does not work: {fault}"
    if torch.backends.mps.is_available():
        return DeviceChoice(device=torch.device("mps"), reason="Apple GPU")
    reason = f"{found}, {torch.get_num_threads()} threads"
    return DeviceChoice(device=torch.device("cpu"), reason=reason)


def _choose_cuda(device: torch.device) -> DeviceChoice:
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        built = torch.version.cuda or "no CUDA"
        raise ConfigError(
            f"device cuda:{index}: torch {torch.__version__} (built for {built}) sees {count} CUDA "
            "devices on this machine; --device cpu always works"
        )
    if fault := cuda_fault(index):
        raise ConfigError(f"device cuda:{index} does not work: {fault}; --device cpu always works")
    return DeviceChoice(device=torch.device("cuda", index), reason=_cuda_name(index))


def _cuda_name(index: int) -> str:
    return str(torch.cuda.get_device_name(index))
