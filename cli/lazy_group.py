"""A click group that imports a command's module only when that command runs."""

import copy
import importlib
from collections.abc import Callable
from typing import Any

import click


class LazyGroup(click.Group):
    """A group over a table ``{name: (module, one-line help)}``.

    Each module has its click command under the name ``command``. Import errors are raised as they
    are and never become "no such command". `before` is called when a command runs, but not for its
    help or if its options are wrong.
    """

    def __init__(
        self,
        *args: Any,
        commands_table: dict[str, tuple[str, str]],
        before: Callable[[], None],
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self._table, self._before = commands_table, before

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order of the table, which is the usual order of use."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and give a command, or None if it is not in the table."""
        if cmd_name not in self._table:
            return None
        command: click.Command = copy.copy(
            importlib.import_module(self._table[cmd_name][0]).command
        )
        run = command.callback

        def prepared(*args: Any, **kwargs: Any) -> Any:
            self._before()
            return run(*args, **kwargs) if run else None

        command.callback = prepared
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])
