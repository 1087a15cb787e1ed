"""Measure the peak memory of a piece of work."""

import re
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Written to ``clear_refs``, it resets the peak resident set size, see `proc(5)`."""


def reset_peak() -> None:
    """Reset the peak memory counters, as far as the system supports it."""
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)


def peak_megabytes(device: str) -> float | None:
    """Give the peak since `reset_peak` in MiB, not MB; None if the system does not report it.

    Parameters
    ----------
    device : str
        For ``cuda:1`` the memory of that GPU, otherwise that of the process. Text after a space is
        ignored.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device.split()[0]) / 2**20
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) / 2**10 if found else None
