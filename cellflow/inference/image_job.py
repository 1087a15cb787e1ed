"""The steps for one image of many: read it, run the networks, find the cells, store them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.inference.model import Model, PendingPrediction
from cellflow.inference.store import Store
from cellflow.network.devices import is_out_of_memory
from cellflow.pictures.overlay import save_overlay
from cellflow.telling import Say

Picture = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ImageJob:
    """The three steps of an image, for `finish_behind`.

    Parameters
    ----------
    model : Model
    store : Store
        Where the cells are kept.
    overlays : Path or None
        Folder for overlay pictures.
    say : callable
        ``say(text)``, when the user should know something.

    Notes
    -----
    One bad image must not stop the others, so an `ImageError` is passed on as a value.
    """

    model: Model
    store: Store
    overlays: Path | None
    say: Say
    _told: set[str] = field(default_factory=set)

    def read(self, path: Path) -> Callable[[], Picture | ImageError]:
        """Give the step that reads an image."""
        return partial(_read, path)

    def begin(self, item: tuple[Path, Picture | ImageError]) -> Callable[[], str | None]:
        """Run the networks over an image, and give the next step.

        Returns
        -------
        callable
            Finds and stores the cells; gives None, or a sentence that says why it failed.
        """
        path, picture = item
        if isinstance(picture, ImageError):
            return partial(str, str(picture))
        try:
            with _named(path, picture), self._telling_of_memory():
                self._tell_of_channels(path, picture)
                diameter = self.model.find_diameter(picture)
                if diameter is not None:
                    how = self.model.diameter_policy.replace("per_type", "cell type's")
                    self.say(f"{path.name}: {how} diameter {diameter:.1f} px")
                pending = self.model.start(picture, path.stem, diameter)
        except ImageError as error:
            # Only the text: the traceback of the error would keep the image on the device.
            return partial(str, str(error))
        return partial(self._finish, path, picture, pending)

    def _finish(self, path: Path, picture: Picture, pending: PendingPrediction) -> str | None:
        try:
            with _named(path, picture):
                prediction = pending.result()
        except ImageError as error:
            return str(error)
        if self.overlays is not None:
            target = self.overlays / f"{path.stem}.png"
            save_overlay(target, picture, predicted=prediction.labels, title=path.stem)
        self.store.keep(path, prediction)  # last: a stored image is not done again
        return None

    def _tell_of_channels(self, path: Path, picture: Picture) -> None:
        """Say once that the mean of several channels is used, if they differ."""
        grey = self.model.members[0].data.channels[0] == 0
        if not grey or picture.ndim == 2 or "channels" in self._told:
            return
        if (picture != picture[:1]).any():
            self._told.add("channels")
            self.say(
                f"{path.name}: {len(picture)} channels, using their mean; --chan selects "
                "one (not repeated for further images)"
            )

    @contextmanager
    def _telling_of_memory(self) -> Iterator[None]:
        before = [member.runner.batch_size for member in self.model.members]
        yield
        for member, size in zip(self.model.members, before, strict=True):
            if member.runner.batch_size < size:
                now = member.runner.batch_size
                self.say(f"out of memory with batches of {size} tiles; continuing with {now}")


def _read(path: Path) -> Picture | ImageError:
    try:
        return read_image(path)
    except ImageError as error:
        return error


@contextmanager
def _named(path: Path, picture: Picture) -> Iterator[None]:
    """Turn errors, including lack of memory, into an `ImageError` that names the image."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = " x ".join(map(str, picture.shape))
        raise ImageError(f"{path}: {size} pixels do not fit into the memory") from error
