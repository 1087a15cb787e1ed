"""What a training folder holds, read once before the start: counts, diameters, content hash.

Takes entries, gives one `ImageFacts` each. Every picture is decoded, in a few milliseconds, so that
a broken one is found before a run begins and not hours later.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.data.dataset import Entry
from cellflow.errors import ImageError
from cellflow.hashing import hash_file
from cellflow.inference.diameter import SMALLEST_DIAMETER
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFacts:
    """One annotated image, without its pixels.

    Parameters
    ----------
    entry : Entry
    cell_diameters : (N,) float64
        Diameter of the disc of each cell's area, pixels.
    content : str
        SHA-256 of the image file and of the truth, hexadecimal.
    """

    entry: Entry
    cell_diameters: NDArray[np.float64]
    content: str

    @property
    def n_cells(self) -> int:
        """Number of annotated cells."""
        return len(self.cell_diameters)

    @property
    def diameter(self) -> float:
        """Median diameter of the cells, at least `SMALLEST_DIAMETER` pixels; nan without cells."""
        if self.n_cells == 0:
            return math.nan
        return max(SMALLEST_DIAMETER, float(np.median(self.cell_diameters)))


def survey_images(
    entries: Iterable[Entry], check: Callable[[NDArray[Any]], None] | None = None
) -> tuple[ImageFacts, ...]:
    """Read picture, truth and hash of every entry.

    Parameters
    ----------
    entries : iterable of Entry
    check : callable, optional
        Raises an `ImageError` for a picture that cannot be used later.

    Raises
    ------
    DataError
        An entry has no truth, or masks and image differ in size.
    ImageError
        A picture cannot be read, or `check` refuses it.
    RleError, LabelError
        The truth of an image is broken.
    """
    return tuple(_survey(entry, check) for entry in entries)


def fingerprint(facts: Iterable[ImageFacts]) -> str:
    """Give one SHA-256 of the names and contents of all images, whatever their order."""
    return _joined((fact.entry.name, fact.content) for fact in facts)


def fingerprint_unseen(entries: Iterable[Entry]) -> str:
    """Give the `fingerprint` of entries without decoding their pictures.

    Raises
    ------
    DataError
        An entry has no truth, or a file cannot be read.
    """
    return _joined((entry.name, _content(entry, entry.truth())) for entry in entries)


def median_diameter(facts: Sequence[ImageFacts], *, per_image: bool) -> float:
    """Give the diameter that stands for a whole data set, pixels.

    Parameters
    ----------
    facts : sequence of ImageFacts
    per_image : bool
        Whether images count equally (median of the images' medians), or cells do.

    Returns
    -------
    float
        nan when there is no cell at all.
    """
    with_cells = [fact for fact in facts if fact.n_cells]
    if not with_cells:
        return math.nan
    if per_image:
        return float(np.median([fact.diameter for fact in with_cells]))
    cells = np.concatenate([fact.cell_diameters for fact in with_cells])
    return max(SMALLEST_DIAMETER, float(np.median(cells)))


def _survey(entry: Entry, check: Callable[[NDArray[Any]], None] | None) -> ImageFacts:
    image, masks = entry.load_annotated()
    if check is not None:
        try:
            check(image)
        except ImageError as error:
            raise ImageError(f"{entry.image_path}: {error}") from error
    return ImageFacts(
        entry=entry,
        cell_diameters=masks.diameters,
        content=_content(entry, masks),
    )


def _joined(contents: Iterable[tuple[str, str]]) -> str:
    lines = sorted(f"{name} {content}\n" for name, content in contents)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _content(entry: Entry, masks: CellMasks) -> str:
    digest = hashlib.sha256(hash_file(entry.image_path).encode())
    for array in (masks.starts, masks.lengths, masks.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr(masks.shape).encode())
    if entry.uncertain is not None:
        digest.update(entry.uncertain.starts.tobytes() + entry.uncertain.lengths.tobytes())
    if entry.weight != 1:
        digest.update(repr(entry.weight).encode())
    return digest.hexdigest()
