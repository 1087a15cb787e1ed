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

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def peak_megabytes(device: str) -> float | None:
    """Give the peak since `reset_peak`, MiB; None where the system does not tell.

    Parameters
    ----------
    device : str
        On ``cuda:1`` it is that GPU's memory, else the process's. What follows a space is left
        aside.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device.split()[0]) / 2**20
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) / 2**10 if found else None
