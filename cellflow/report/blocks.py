"""The viewer's data: one JSON text per image, within a limit on the number of bytes."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.pictures.display import stretch_contrast
from cellflow.records import CellMasks, Shape
from cellflow.report.markup import script_json
from cellflow.report.packing import pack_cells, pack_numbers
from cellflow.report.partners import find_partners
from cellflow.report.subject import Subject
from cellflow.telling import Report, ignore

QUALITIES = (90, 80, 70, 65, 60, 55, 50, 45, 40, 35)
"""WebP qualities to try, best first. A phase-contrast image of 704x520 takes 64 kB at 60, and 89 kB
as a JPEG that looks worse (33.6 against 32.3 dB)."""
LONGEST_SIDE = 1408
"""Larger pictures are averaged down to this many pixels; the outlines of cells stay exact."""
N_SAMPLES = 8
"""Number of pictures that are tried to choose the quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The embedded images.

    Parameters
    ----------
    texts : tuple of (str or None)
        One per image, in the given order; None = left out for lack of space.
    quality : int or None
        WebP quality of the pictures; None if there are none.
    unread : mapping of str to str
        By image name, the reason why a picture cannot be read; its cells are shown alone.
    """

    texts: tuple[str | None, ...]
    quality: int | None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_left_out(self) -> int:
        """Number of images that the viewer cannot show."""
        return self.texts.count(None)


def image_blocks(
    subject: Subject,
    order: Sequence[int],
    room: int,
    report: Report = ignore,
) -> Blocks:
    """Pack the images at the best quality that fits; if none does, pack only the first images.

    Parameters
    ----------
    subject : Subject
    order : sequence of int
        Indices of its images, most important first.
    room : int
        Total number of bytes.
    report : callable
        Called as ``report(n_done, {"total": n})``.

    Raises
    ------
    ImageError
        No picture can be read and has the same size as its cells; the message is about the first.
    """
    names = [subject.images[index] for index in order]
    cells = [_cells_of(subject, name) for name in names]
    pictures = _Pictures(subject)
    left = room - sum(len(script_json({**one, "picture": None})) for one in cells)
    if not subject.pictures:
        pack = _pack(names, cells, lambda name: None, room, report)
        return Blocks(texts=tuple(pack), quality=None)
    pictured = [name for name in names if name in subject.pictures]
    first = QUALITIES.index(_choose_quality(pictures, pictured, left))
    for quality in QUALITIES[first:]:
        # The pictures tried may be smaller than the others, so not all need fit.
        texts = _pack(names, cells, partial(pictures.encode, quality=quality), room, report)
        if None not in texts:
            break
    if len(pictures.unread) == len(pictured):
        raise ImageError(pictures.unread[pictured[0]])
    return Blocks(texts=tuple(texts), quality=quality, unread=pictures.unread)


class _Pictures:
    """The pictures of a subject, read on demand.

    Parameters
    ----------
    subject : Subject
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.unread: dict[str, str] = {}

    def read(self, name: str) -> NDArray[np.uint8] | None:
        """Give a picture for viewing; None if there is none, or (with a note why) if unreadable."""
        path = self._subject.pictures.get(name)
        if path is None or name in self.unread:
            return None
        try:
            return _read_picture(path, self._subject.shapes[name])
        except ImageError as error:
            self.unread[name] = str(error)
            return None

    def encode(self, name: str, quality: int) -> str | None:
        """Give a picture as text; None if there is none."""
        picture = self.read(name)
        return None if picture is None else _encode(picture, quality)


def _pack(
    names: Sequence[str],
    cells: Sequence[dict[str, Any]],
    encode: Callable[[str], str | None],
    room: int,
    report: Report,
) -> list[str | None]:
    """Give the JSON of each image; None for the first that does not fit and all after it."""
    texts: list[str | None] = []
    for done, (name, one) in enumerate(zip(names, cells, strict=True), start=1):
        content = script_json({**one, "picture": encode(name)})
        room -= len(content)
        if room < 0:
            break
        texts.append(content)
        report(done, {"total": len(names)})
    return texts + [None] * (len(names) - len(texts))


def _cells_of(subject: Subject, name: str) -> dict[str, Any]:
    """Give everything of an image except the picture."""
    height, width = subject.shapes[name]
    truth = None if subject.truths is None else subject.truths[name]
    return {
        "height": height,
        "width": width,
        "truth": None if truth is None else pack_cells(truth),
        "found": [
            None if name not in found else _found(subject, model, name)
            for model, found in enumerate(subject.predicted)
        ],
    }


def _found(subject: Subject, model: int, name: str) -> dict[str, str]:
    """Give a model's cells with their matches and, if there is truth, those of the true cells.

    Notes
    -----
    IoU and confidence are in thousandths; best partners are numbered from 1, 0 = none.
    """
    masks = subject.predicted[model][name]
    packed = {"cells": pack_cells(masks)}
    confidence = subject.confidence(model, name)
    if confidence is not None:
        packed["confidence"] = pack_numbers(_thousandths(confidence))
    reference = _reference(subject, model, name)
    if reference is None:
        return packed
    partners = find_partners(reference, masks)
    packed |= {
        "levels": pack_numbers(partners.predicted_levels.tolist()),
        "iou": pack_numbers(_thousandths(partners.predicted_iou)),
        "best": pack_numbers((partners.predicted_best + 1).tolist()),
    }
    if subject.truths is None:
        return packed
    return packed | {
        "truthLevels": pack_numbers(partners.truth_levels.tolist()),
        "truthIou": pack_numbers(_thousandths(partners.truth_iou)),
        "truthBest": pack_numbers((partners.truth_best + 1).tolist()),
    }


def _reference(subject: Subject, model: int, name: str) -> CellMasks | None:
    """Give what a model's cells are matched with: truth, or without it the first other model."""
    if subject.truths is not None:
        return subject.truths[name]
    return subject.cells(int(model == 0), name) if len(subject.models) > 1 else None


def _thousandths(shares: NDArray[np.floating[Any]]) -> list[int]:
    rounded: list[int] = np.rint(1000 * shares).astype(int).tolist()
    return rounded


def _choose_quality(pictures: _Pictures, names: Sequence[str], room: int) -> int:
    """Give the best quality at which all pictures should fit, estimated from some of them."""
    step = max(1, len(names) // N_SAMPLES)
    tried = [one for name in names[::step] if (one := pictures.read(name)) is not None]
    for quality in QUALITIES:
        sizes = [len(_encode(picture, quality)) for picture in tried]
        if len(names) * float(np.mean(sizes or [0])) <= room:
            return quality
    return QUALITIES[-1]


def _read_picture(path: Path, shape: Shape) -> NDArray[np.uint8]:
    image = read_image(path)
    if image.shape[-2:] != shape:
        raise ImageError(
            f"{path}: the picture is {image.shape[-2]}x{image.shape[-1]}, "
            f"the masks are for {shape[0]}x{shape[1]}"
        )
    return stretch_contrast(image)


def _encode(pixels: NDArray[np.uint8], quality: int) -> str:
    """Give a picture as a WebP file in base64, its longest side at most `LONGEST_SIDE`."""
    picture = Image.fromarray(pixels)
    if max(picture.size) > LONGEST_SIDE:
        share = LONGEST_SIDE / max(picture.size)
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        picture = picture.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality, method=4)
    return base64.b64encode(file.getvalue()).decode("ascii")
