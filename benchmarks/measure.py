"""Timing of functions in turns, so that a busy machine slows all of them down.

Import this module first: it sets how torch's threads wait, as cellflow's command line does, for
both sides. That favours Cellpose, which by itself sets nothing.
"""

import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from cellflow_cli.process import WAITING

if not WAITING.keys() & os.environ.keys():
    os.environ.update(WAITING)


@dataclass(frozen=True)
class Timing:
    """Median times in milliseconds: wall clock, and processor time of all threads together."""

    wall: float
    processor: float


def in_turns(
    theirs: Callable[[], Any], ours: Callable[[], Any], n_theirs: int = 5, n_ours: int = 5
) -> tuple[Timing, Timing]:
    """Time two functions, after one untimed call of each.

    Each of `n_theirs` rounds times `theirs` once and `ours` `n_ours` times.
    """
    theirs()
    ours()
    times: tuple[list[Timing], list[Timing]] = [], []
    gc.disable()
    for _ in range(n_theirs):
        times[0].append(_time(theirs))
        times[1].extend(_time(ours) for _ in range(n_ours))
    gc.enable()
    return _median(times[0]), _median(times[1])


def in_processes(
    sides: Mapping[str, Callable[[], Callable[[], Any]]], n_rounds: int = 5
) -> dict[str, Timing]:
    """Time several functions in turns, each in a process of its own.

    Parameters
    ----------
    sides : mapping of name to function
        Called in the process to give the function to time; must be picklable. Processes whose name
        begins with ``cellflow`` are set up as the command ``cellflow`` does; others are left as
        Python starts them.
    n_rounds : int
        Rounds, after one untimed call of each function.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, setup in sides.items():
        pipes[name], theirs = context.Pipe()
        is_ours = name.startswith("cellflow")
        processes.append(context.Process(target=_serve, args=(theirs, setup, is_ours)))
        processes[-1].start()
        pipes[name].recv()
    times: dict[str, list[Timing]] = {name: [] for name in sides}
    for _ in range(n_rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            times[name].append(pipe.recv())
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return {name: _median(taken) for name, taken in times.items()}


def _serve(pipe: Connection, setup: Callable[[], Callable[[], Any]], is_ours: bool) -> None:
    if is_ours:
        from cellflow_cli.process import prepare

        prepare()
    function = setup()
    function()
    pipe.send(None)
    while pipe.recv():
        pipe.send(_time(function))


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Give a table in Markdown, with numbers rounded to three or four significant digits."""
    lines = [header, ["---"] * len(header), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _time(function: Callable[[], Any]) -> Timing:
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return Timing((time.perf_counter() - wall) * 1e3, (time.process_time() - processor) * 1e3)


def _median(times: list[Timing]) -> Timing:
    return Timing(
        statistics.median(timing.wall for timing in times),
        statistics.median(timing.processor for timing in times),
    )


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if cell >= 100 else f"{cell:.3g}" if cell < 0.9 else f"{cell:.4g}"
