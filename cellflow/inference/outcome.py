"""The end of a run over many images: from what the store has to the outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflow.data.outputs import Outputs
from cellflow.errors import DataError
from cellflow.inference.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderResult:
    """What a run over many images did.

    Parameters
    ----------
    n_images, n_cells : int
        Written to the outputs.
    n_resumed : int
        Images among them that an earlier, interrupted run had found.
    failures : tuple of str
        One sentence for every image that could not be read, or not fit into memory.
    outputs : tuple of Path
        What was written: the outputs, or the part of a shard.
    """

    n_images: int
    n_cells: int
    n_resumed: int
    failures: tuple[str, ...]
    outputs: tuple[Path, ...]


def finished_images(store: Store, images: Sequence[Path], failures: Sequence[str]) -> list[Path]:
    """Give the images whose cells the store has.

    Raises
    ------
    DataError
        It has none of them; the first failures say why.
    """
    done = [path for path in images if store.has(path)]
    if images and not done:
        store.remove_if_empty()
        raise DataError("no image could be done: " + "; ".join(failures[:3]))
    return done


def conclude(
    store: Store,
    images: Sequence[Path],
    outputs: Outputs,
    *,
    n_resumed: int,
    failures: Sequence[str],
) -> FolderResult:
    """Write the outputs; the store goes once they are there and nothing is left to try again.

    Raises
    ------
    DataError
        No image could be done.
    ConfigError
        An output cannot be written.
    """
    done = finished_images(store, images, failures)
    try:
        n_cells = outputs.write(lambda: store.load(done))
    except DataError as error:
        raise DataError(
            f"{error}; {store.folder} keeps what was found: the same command goes on from there"
        ) from error
    if not failures:
        store.remove()
    return FolderResult(
        n_images=len(done),
        n_cells=n_cells,
        n_resumed=n_resumed,
        failures=tuple(failures),
        outputs=tuple(outputs.paths),
    )
