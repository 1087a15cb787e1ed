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
        return PrecisionChoice(dtype=dtype, reason="as set")
    if has_native_bfloat16(device):
        return PrecisionChoice(dtype=torch.bfloat16, reason=f"native on this {device.type}")
    return PrecisionChoice(dtype=torch.float32, reason=f"no native bfloat16 on this {device.type}")


def has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether the device reports matrix or vector instructions for bfloat16.

    Notes
    -----
    CUDA: compute capability 8.0 (Ampere) or above. CPU: AVX512-BF16 or AMX, as torch 2.13 and
    later report them; with an older torch the answer is no.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def has_bfloat16_matrices(device: torch.device) -> bool:
    """Tell whether bfloat16 has units of its own, so that it is quicker than float32 for sure.

    Notes
    -----
    On a CPU: AMX. AVX512-BF16 alone computes in the vector units of float32; there processors
    differ, and bfloat16 may take longer (docs/log.md).
    """
    if device.type != "cpu":
        return has_native_bfloat16(device)
    return has_native_bfloat16(device) and bool(torch.cpu.get_capabilities().get("amx_bf16"))


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run the block's convolutions in `dtype`; nothing changes for float32."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        yield
