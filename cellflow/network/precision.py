"""float32, or bfloat16 where the processor computes it natively."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cellflow.config import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """A data type for the convolutions and the reason for it.

    Parameters
    ----------
    dtype : torch.dtype
        float32 or bfloat16. Weights and results are float32 either way.
    reason : str
    """

    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        """Write ``bfloat16 (the processor has it)``."""
        return f"{str(self.dtype).removeprefix('torch.')} ({self.reason})"


def choose_precision(requested: Precision, device: torch.device) -> PrecisionChoice:
    """Turn ``auto`` into the fastest type that the device computes natively.

    Notes
    -----
    ``auto`` takes bfloat16 only where the device reports it: emulated it would be slower. An
    explicit request is followed as it stands.
    """
    if requested != "auto":
        dtype = torch.bfloat16 if requested == "bfloat16" else torch.float32
        is_native, hint = has_native_bfloat16(device), ""
        if requested == "float32" and is_native:
            hint = f"; bfloat16 is native on this {device.type}"
        if requested == "bfloat16" and not is_native and device.type in ("cpu", "cuda"):
            # cuDNN too convolves in it from Ampere on; before, PyTorch does it by slower means.
            hint = f"; float32 is quicker on this {device.type}, which lacks the instructions"
        return PrecisionChoice(dtype=dtype, reason=f"by the settings{hint}")
    if has_native_bfloat16(device):
        return PrecisionChoice(dtype=torch.bfloat16, reason=f"native on this {device.type}")
    return PrecisionChoice(dtype=torch.float32, reason=f"no native bfloat16 on this {device.type}")


def has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether the device reports bfloat16 instructions that are quicker than float32's.

    Notes
    -----
    CUDA: compute capability 8.0 (Ampere) or above. CPU: AMX, or AVX512-BF16, which takes half of
    float32's time on AMD's processors and 1.4 times as much on an Intel one (docs/log.md); as torch
    2.13 and later report them; with an older torch the answer is no. It is not timed: parts of a
    run, or a continued run, must not choose differently.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        is_intel = "intel" in str(found.get("cpu_name", "")).lower()
        return bool(found.get("amx_bf16") or (found.get("avx512_bf16") and not is_intel))
    return False


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run the block's convolutions in `dtype`, whatever autocast the caller has switched on."""
    is_lower = dtype is not torch.float32
    if not is_lower and not torch.is_autocast_enabled(device.type):
        yield  # Some devices have no autocast at all.
        return
    with torch.autocast(device.type, dtype=dtype if is_lower else None, enabled=is_lower):
        yield
