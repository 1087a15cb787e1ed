"""A folder of images and truth as a list of entries, each loaded on demand."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cellflow.data.images import read_image
from cellflow.errors import DataError
from cellflow.records import CellMasks, Sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One image of a data set, not yet loaded.

    Parameters
    ----------
    name : str
        The image's id, unique in the data set.
    image_path : Path
    read_masks : callable or None
        Gives the truth; picklable, so that loaders work under ``spawn``. None = not annotated.
    cell_type, group : str or None
        As in `Sample`.
    weight : float
        Weight of the image in the training loss.
    uncertain : CellMasks or None
        Pixels left out of the loss, since it is unknown whether they are cells.
    """

    name: str
    image_path: Path
    read_masks: Callable[[], CellMasks] | None = None
    cell_type: str | None = None
    group: str | None = None
    weight: float = 1.0
    uncertain: CellMasks | None = None

    def load(self) -> Sample:
        """Read the image and its truth.

        Raises
        ------
        ImageError, LabelError, RleError
            A file is broken, or masks and image differ in size.
        """
        return self._with(None if self.read_masks is None else self.read_masks())

    def load_annotated(self) -> tuple[NDArray[Any], CellMasks]:
        """Read the image and its truth; raises what `load` and `truth` do."""
        truth = self.truth()
        return self._with(truth).image, truth

    def truth(self) -> CellMasks:
        """Read the truth.

        Raises
        ------
        DataError
            There is none.
        LabelError, RleError
            It is broken.
        """
        if self.read_masks is None:
            raise DataError(
                f"image {self.name}: has no truth, which training, tuning and scores need"
            )
        return self.read_masks()

    def _with(self, masks: CellMasks | None) -> Sample:
        return Sample(
            name=self.name,
            image=read_image(self.image_path),
            masks=masks,
            cell_type=self.cell_type,
            group=self.group,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What `open_dataset` found in a folder.

    Parameters
    ----------
    root : Path
    layout : str
        Name of the recognised layout, for instance kaggle; `cellflow.data.entrance` has all.
    entries : tuple of Entry
        Sorted by name.
    remarks : tuple of str
        What was noticed and left out while opening, one sentence each.
    """

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for first, second in itertools.pairwise(self.entries):
            if first.name == second.name:
                raise DataError(
                    f"{first.image_path} and {second.image_path} have the same id {first.name!r}; "
                    "rename one"
                )
            if first.name > second.name:
                raise DataError(f"{self.root}: image names must be sorted: {second.name!r}")

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        """Go over the entries in the order of their names."""
        return iter(self.entries)

    @property
    def annotated(self) -> tuple[Entry, ...]:
        """The entries that have truth."""
        return tuple(entry for entry in self.entries if entry.read_masks is not None)

    @property
    def by_name(self) -> dict[str, Entry]:
        """The entries that have truth, by name."""
        return {entry.name: entry for entry in self.annotated}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrueImage:
    """The truth of one image.

    Parameters
    ----------
    masks : CellMasks
        As annotated; they may overlap.
    cell_type, group : str or None
        As in `Sample`.
    """

    masks: CellMasks
    cell_type: str | None
    group: str | None = None


def masks_in_memory(masks: CellMasks) -> Callable[[], CellMasks]:
    """Give an `Entry.read_masks` for truth that has been read already; picklable."""
    return partial(_itself, masks)


def _itself(masks: CellMasks) -> CellMasks:
    return masks
