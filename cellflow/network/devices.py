"""Where to compute, and why there."""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from cellflow.errors import ConfigError


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
        if torch.cuda.is_available():
            return DeviceChoice(device=torch.device("cuda:0"), reason=_cuda_name(0))
        if torch.backends.mps.is_available():
            return DeviceChoice(device=torch.device("mps"), reason="Apple GPU")
        threads = torch.get_num_threads()
        return DeviceChoice(device=torch.device("cpu"), reason=f"no GPU found, {threads} threads")
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
    """Give an array as a tensor on the device; a GPU is not waited for.

    Notes
    -----
    From memory that is not page-locked PyTorch copies when the GPU has done all before, and waits.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def _choose_cuda(device: torch.device) -> DeviceChoice:
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        built = torch.version.cuda or "no CUDA"
        raise ConfigError(
            f"device cuda:{index}: this machine shows {count} CUDA devices to torch "
            f"{torch.__version__} (built for {built}); --device cpu always works"
        )
    return DeviceChoice(device=torch.device("cuda", index), reason=_cuda_name(index))


def _cuda_name(index: int) -> str:
    return str(torch.cuda.get_device_name(index))
