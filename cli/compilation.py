"""Announce on stderr that kernels are being compiled, which takes a while and happens once."""

from typing import Any

import click

TOLD_BY = "numba:compile"
"""Numba's event of a real compilation; loading a kernel from the cache does not trigger it."""
NEWS = (
    "compiling numerical kernels: up to a minute, once on this machine "
    "(`cellflow doctor --warm` does it beforehand)"
)


def announce_compilation() -> None:
    """Write one line before the first kernel is compiled in this process."""
    from numba.core import event

    class Announcement(event.Listener):  # type: ignore[misc]
        is_told = False

        def on_start(self, what: Any) -> None:
            if not self.is_told:
                self.is_told = True
                click.echo(NEWS, err=True)

        def on_end(self, what: Any) -> None:
            pass

    event.register(TOLD_BY, Announcement())
