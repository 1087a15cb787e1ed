"""The peak memory of a stretch of work."""

import re
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""What `proc(5)` calls resetting the peak resident set size."""


def reset_peak() -> None:
    """Forget the peaks so far, where the system can."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def peak_megabytes(device: str) -> float | None:
    """Give the peak since `reset_peak`, MiB; None where the system does not tell.

    Parameters
    ----------
    device : str
        On ``cuda`` it is the GPU's memory, else the process's.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) / 2**10 if found else None
