"""The end of a run over many images: writes the stored predictions to the outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflow.data.outputs import Outputs
from cellflow.errors import DataError
from cellflow.inference.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderResult:
    """Result of a run over many images.

    Parameters
    ----------
    n_images, n_cells : int
        Numbers of images and cells in the outputs.
    n_resumed : int
        How many of these images an earlier, interrupted run had predicted.
    failures : tuple of str
        One sentence for every image that could not be read or did not fit into memory.
    outputs : tuple of Path
        What was written: the outputs, or the folder with the part of a shard.
    """

    n_images: int
    n_cells: int
    n_resumed: int
    failures: tuple[str, ...]
    outputs: tuple[Path, ...]


def finished_images(store: Store, images: Sequence[Path], failures: Sequence[str]) -> list[Path]:
    """Give the images whose cells are in the store.

    Raises
    ------
    DataError
        There are none; the message has the first failures.
    """
    done = [path for path in images if store.has(path)]
    if images and not done:
        store.remove_if_empty()
        raise DataError("no image could be predicted: " + "; ".join(failures[:3]))
    return done


def conclude(
    store: Store,
    images: Sequence[Path],
    outputs: Outputs,
    *,
    n_resumed: int,
    failures: Sequence[str],
) -> FolderResult:
    """Write the outputs, then delete the store, unless an image failed and may be tried again.

    Raises
    ------
    DataError
        No image could be predicted, or a file of an output was changed meanwhile.
    ConfigError
        An output cannot be written.
    """
    done = finished_images(store, images, failures)
    try:
        outputs.require_unchanged(done)
        n_cells = outputs.write(lambda: store.load(done))
    except DataError as error:
        raise DataError(
            f"{error}; partial results are in {store.folder}; run the same command to continue"
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
