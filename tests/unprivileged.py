"""Root writes to read-only folders; without two of its powers it is stopped as its users are."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

VERSION = 0x20080522
"""Of the calls' structures; linux/capability.h has it, and the numbers of the powers."""
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2

is_root = hasattr(os, "geteuid") and os.geteuid() == 0

needs_permissions = pytest.mark.skipif(
    os.name == "nt" or (is_root and sys.platform != "linux"),
    reason="no way to make a folder read-only for this user",
)


@contextmanager
def without_root_powers() -> Iterator[None]:
    """Let the file permissions hold in this thread also for root; for others nothing changes."""
    if not is_root:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, powers = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, powers)
    had = powers[0]
    powers[0] = had & ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    if libc.capset(header, powers):
        raise OSError(ctypes.get_errno(), "the powers of root cannot be dropped")
    try:
        yield
    finally:
        powers[0] = had
        libc.capset(header, powers)
