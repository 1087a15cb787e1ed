"""float32, or a type of 16 bits where the device convolves in it more quickly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cellflow.config import Precision

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """A data type for the convolutions and the reason for it.

    Parameters
    ----------
    dtype : torch.dtype
        float32, float16 or bfloat16. Weights and results are float32 either way.
    reason : str
    """

    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        """Write ``bfloat16 (native on this cpu)``."""
        return f"{dtype_name(self.dtype)} ({self.reason})"


def dtype_name(dtype: torch.dtype) -> str:
    """Write a type as the settings name it, such as ``float16``."""
    return str(dtype).removeprefix("torch.")


def choose_precision(
    requested: Precision, device: torch.device, *, may_be_float16: bool = True
) -> PrecisionChoice:
    """Turn ``auto`` into the fastest type that the device computes natively.

    Parameters
    ----------
    requested : str
    device : torch.device
    may_be_float16 : bool
        Whether float16 may be chosen, or recommended.

    Notes
    -----
    ``auto`` takes 16 bits only where the device reports them: emulated they would be slower. An
    explicit request is followed as it stands.
    """
    quickest = quickest_dtype(device)
    if quickest is torch.float16 and not may_be_float16:
        quickest = torch.float32
    name, kind = dtype_name(quickest), device.type
    if requested == "auto":
        has_none = "no quick type of 16 bits" if kind == "cuda" else "no native bfloat16"
        how = has_none if quickest is torch.float32 else "native"
        return PrecisionChoice(dtype=quickest, reason=f"{how} on this {kind}")
    dtype, hint = DTYPES[requested], ""
    if dtype is torch.float32 and quickest is not dtype:
        hint = f"; {name} is native on this {kind}"
    if kind in ("cpu", "cuda") and not _is_native(dtype, device):
        # cuDNN too convolves in bfloat16 from Ampere on; before, PyTorch does it by slower means.
        hint = f"; {name} is quicker on this {kind}, which lacks the instructions"
    return PrecisionChoice(dtype=dtype, reason=f"by the settings{hint}")


def quickest_dtype(device: torch.device) -> torch.dtype:
    """Give the type in which the device reports to convolve most quickly.

    Notes
    -----
    Where there is no quick bfloat16, CUDA devices from compute capability 7.0 on have tensor cores
    for float16 (V100, T4) or compute it at twice the rate (GTX 16). Processors may report it too,
    but nothing was measured on them.
    """
    if has_native_bfloat16(device):
        return torch.bfloat16
    if device.type == "cuda" and _is_native(torch.float16, device):
        return torch.float16
    return torch.float32


def _is_native(dtype: torch.dtype, device: torch.device) -> bool:
    if dtype is torch.bfloat16:
        return has_native_bfloat16(device)
    if dtype is torch.float16 and device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (7, 0)
    return dtype is torch.float32


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
