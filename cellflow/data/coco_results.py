"""COCO result files, as Detectron2, mmdet, torchvision and Ultralytics write them, to `Detections`.

A result file is a list of ``{"image_id", "category_id", "segmentation", "score"}``, one a cell; a
COCO file with ``annotations`` is read the same way. The file is streamed: memory holds a chunk of
text and, of the images asked for, 12 bytes for each run of the masks with the best scores.
"""

import math
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cellflow.data.coco import GENERIC_CATEGORIES
from cellflow.data.coco_rle import Runs, runs_to_masks
from cellflow.data.image_names import ImageNames, NameFinder, read_image_names
from cellflow.data.json_stream import iterate_json, starts_json_array
from cellflow.data.segmentations import lies_outside, segmentation_to_runs
from cellflow.errors import DataError, LabelError, RleError
from cellflow.records import CellMasks, Detections, Shape
from cellflow.wording import counted, shortened, some_of

MOST_DETECTIONS = 2000
"""Kept of an image, those with the highest scores. Dense images have 800 cells; a detector without
a score threshold lists thousands of guesses."""

ROUNDING = 1e-3
"""Scores this far outside 0 to 1 are taken for rounding errors."""

_RUNS_AT_ONCE = 2**15
"""COCO runs, 16 bytes each, that are held before they are packed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoResults:
    """What a result file says of the images asked for.

    Parameters
    ----------
    detections : dict of image name to Detections
        In the order of the file. An image on which nothing was found is included only if the names
        file, or the file itself, lists it.
    lists_empty : bool
        Whether images on which nothing was found are listed.
    remarks : tuple of str
        What was left out, and what could not be found out.
    """

    detections: dict[str, Detections]
    lists_empty: bool
    remarks: tuple[str, ...]


def read_coco_results(
    path: Path | str, shapes: Mapping[str, Shape], names: ImageNames | None = None
) -> CocoResults:
    """Read a result file.

    Parameters
    ----------
    path : path
    shapes : mapping of image name to (H, W)
        The images to read; others are counted and skipped.
    names : ImageNames, optional
        What the ids stand for. Ids that it lacks, or all ids without it, may be names, file names,
        or the numbers that names consist of. A COCO file says itself what its ids stand for.

    Raises
    ------
    DataError
        Not such a file, no id stands for an image, an id or category that the names do not have,
        a score that is missing or no finite number, boxes without masks.
    LabelError, RleError
        A mask is for another image size, lies outside the image, or is broken.

    Notes
    -----
    Every message names the number of the result in the file, counted from 1, and its image.

    Scores are confidences from 0 to 1. If those of a file go beyond that, they are taken as logits
    if one is negative, else as per cent, or as shares of the largest if that is above 100. Their
    order stays; a remark says so. If all scores are equal they rank nothing, and count as none.
    """
    path = Path(path)
    own = None if starts_json_array(path) else read_image_names(path)
    reader = _Results(path, shapes, own or names)
    for number, item in enumerate(_results(path), start=1):
        reader.take(number, item)
    return reader.finished()


def _results(path: Path) -> Iterator[Any]:
    for key, item in iterate_json(path):
        if key not in ("", "annotations"):
            continue
        if isinstance(item, dict) and "image_id" not in item and key:
            yield from item.values()  # Some files have their annotations by number.
        else:
            yield item


@dataclass(slots=True)
class _Image:
    """One image's cells while the file is read."""

    shape: Shape
    recent: list[Runs] = field(default_factory=list)
    n_recent_runs: int = 0
    packed: list[CellMasks] = field(default_factory=list)
    scores: "array[float]" = field(default_factory=lambda: array("f"))
    types: list[str] = field(default_factory=list)
    is_pruned: bool = False

    def pack(self) -> None:
        """Turn the recent runs into masks; if there are far too many, keep the best, if any is."""
        if self.recent:
            self.packed.append(runs_to_masks(self.recent, self.shape))
            self.recent, self.n_recent_runs = [], 0
        # Not whenever there is one too many, which would mean sorting for every detection.
        if len(self.scores) > MOST_DETECTIONS * 5 // 4 and min(self.scores) < max(self.scores):
            self.prune()

    def prune(self) -> None:
        """Keep the best `MOST_DETECTIONS`, the first ones among equals; without scores all."""
        if len(self.scores) <= MOST_DETECTIONS:
            return
        best = np.argsort(-np.array(self.scores), kind="stable")[:MOST_DETECTIONS]
        best.sort()
        self.packed = [CellMasks.concatenate(self.packed).select(best)]
        self.scores = array("f", [self.scores[k] for k in best])
        self.types = [self.types[k] for k in best]
        self.is_pruned = True

    def masks(self, ranked: bool) -> CellMasks:
        """Give the masks: the best ones if the scores of the file are `ranked`, else all."""
        self.pack()
        if ranked:
            self.prune()
        if len(self.packed) != 1:
            self.packed = [CellMasks.concatenate(self.packed or [CellMasks.empty(self.shape)])]
        return self.packed[0]


class _Results:
    """All images' cells while the file is read."""

    def __init__(self, path: Path, shapes: Mapping[str, Shape], names: ImageNames | None) -> None:
        self.path, self.shapes, self.names = path, shapes, names
        self.images: dict[str, _Image] = {}
        self.current: _Image | None = None
        self.finder = NameFinder(shapes, names)
        self.categories: dict[str, None] = {}
        self.n_empty = self.n_crowds = self.n_known = self.n_scored = 0
        self.has_scores: bool | None = None
        self.lowest, self.highest = math.inf, -math.inf

    def take(self, number: int, item: Any) -> None:
        """Add one result."""
        where = f"{self.path}: result {number}"
        if not isinstance(item, dict) or "image_id" not in item:
            raise DataError(f"{where}: expected an object with an image_id, found {_brief(item)}")
        image_id = item["image_id"]
        if not isinstance(image_id, str | int) or isinstance(image_id, bool):
            raise DataError(
                f"{where}: expected a string or whole number as image_id, found {_brief(image_id)}"
            )
        name = self.finder.find(image_id, where)
        if name is None:
            return
        where += f" (image {name})"
        self.n_known += 1
        if item.get("iscrowd", 0):
            self.n_crowds += 1
            return
        score = self._score(item, where)
        kind = self._category(item, where)
        runs = self._runs(item, self.shapes[name], where)
        if len(runs[0]) == 0:
            self.n_empty += 1
            return
        image = self.images.setdefault(name, _Image(self.shapes[name]))
        if self.current is not None and (
            image is not self.current or image.n_recent_runs >= _RUNS_AT_ONCE
        ):
            self.current.pack()
        self.current = image
        image.recent.append(runs)
        image.n_recent_runs += len(runs[0])
        image.types.append(kind)
        if score is not None:
            self.lowest, self.highest = min(self.lowest, score), max(self.highest, score)
            image.scores.append(score)
            self.n_scored += 1

    @property
    def ranks(self) -> bool:
        """Whether there are scores, and they put the cells in an order: not all are equal."""
        return bool(self.has_scores) and (self.lowest < self.highest or self.n_scored < 2)

    def finished(self) -> CocoResults:
        """Give all that was taken."""
        if self.n_known == 0:
            raise DataError(self._nothing_known())
        if self.n_empty and not self.images:
            raise LabelError(
                f"{self.path}: none of its {counted(self.n_empty, 'mask')} has a pixel; polygons "
                "must be in pixels, not in fractions of the image"
            )
        detections = self._detections()
        return CocoResults(
            detections=detections,
            lists_empty=self.names is not None,
            remarks=tuple(self._remarks()),
        )

    def _detections(self) -> dict[str, Detections]:
        found = {}
        # If all cells have one category, it says nothing, whatever it is called.
        kinds_known = self.names is not None and bool(self.names.categories)
        kinds_known &= len(self.categories) > 1 and not set(self.categories) <= GENERIC_CATEGORIES
        for name, image in self.images.items():
            masks = image.masks(self.ranks)
            found[name] = Detections(
                name=name,
                masks=masks,
                scores=self._confidences(image.scores) if self.ranks else None,
                cell_types=tuple(image.types) if kinds_known else None,
            )
        for name in self.names.names.values() if self.names else ():
            if name in self.shapes and name not in found:
                found[name] = Detections(
                    name=name,
                    masks=CellMasks.empty(self.shapes[name]),
                    scores=np.zeros(0, np.float32) if self.ranks else None,
                    cell_types=() if kinds_known else None,
                )
        return found

    def _confidences(self, scores: "array[float]") -> NDArray[np.float32]:
        values = np.array(scores, np.float64)
        if self.lowest < -ROUNDING:
            values = expit(values)
        elif self.highest > 1 + ROUNDING:
            values /= max(self.highest, 100)
        return values.clip(0, 1).astype(np.float32)

    def _score_remark(self) -> Iterator[str]:
        if not self.ranks:
            if self.has_scores:
                yield (
                    f"{self.path.name}: all scores are {self.lowest:g}; they rank nothing, and "
                    "count as none"
                )
            return
        if self.lowest < -ROUNDING:
            taken = "logits"
        elif self.highest > 1 + ROUNDING:
            taken = "per cent" if self.highest <= 100 else "fractions of the largest"
        else:
            return
        yield (
            f"{self.path.name}: scores from {self.lowest:g} to {self.highest:g} instead of 0 to 1 "
            f"are taken as {taken}"
        )

    def _remarks(self) -> Iterator[str]:
        file = self.path.name
        if self.images:
            yield from self._score_remark()
        if self.finder.unknown:
            names = list(self.finder.unknown)
            yield (
                f"{file}: {counted(len(names), 'image')} left out that the truth does not have: "
                f"{some_of(names)}"
            )
        if self.names is not None:
            listed = set(self.names.names.values()) & self.shapes.keys()
            if without := len(listed - self.images.keys()):
                yield (
                    f"{file}: {counted(without, 'image')} of {self.names.source.name} without a "
                    "cell in it; taken as images in which nothing was found"
                )
        if (self.names is None or not self.names.categories) and len(self.categories) > 1:
            yield (
                f"{file}: the meaning of its categories {', '.join(sorted(self.categories))} is "
                "unknown; all count as cells"
            )
        if n_pruned := sum(image.is_pruned for image in self.images.values()):
            yield (
                f"{file}: only the {MOST_DETECTIONS:,} detections with the highest scores are kept "
                f"in {counted(n_pruned, 'image')}"
            )
        if self.n_crowds:
            yield f"{file}: {counted(self.n_crowds, 'crowd annotation')} left out"
        if self.n_empty:
            yield f"{file}: {counted(self.n_empty, 'mask')} without a pixel left out"

    def _score(self, item: Mapping[str, Any], where: str) -> float | None:
        has_score = "score" in item
        if self.has_scores is None:
            self.has_scores = has_score
        if has_score != self.has_scores:
            found, before = ("a", "no") if has_score else ("no", "a")
            raise DataError(f"{where}: has {found} score, the results before have {before} score")
        if not has_score:
            return None
        score = item["score"]
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not is_number or not abs(score) <= sys.float_info.max:
            raise DataError(f"{where}: expected a finite number as score, found {_brief(score)}")
        return float(score)

    def _category(self, item: Mapping[str, Any], where: str) -> str:
        text = str(item.get("category_id", ""))
        if self.names is None or not self.names.categories:
            self.categories.setdefault(text)
            return text
        if text not in self.names.categories:
            known = ", ".join(self.names.categories)
            raise DataError(
                f"{where}: category_id {text or 'missing'} is not in {self.names.source}, which "
                f"has {known}"
            )
        name = self.names.categories[text]
        self.categories.setdefault(name)
        return name

    def _runs(self, item: Mapping[str, Any], shape: Shape, where: str) -> Runs:
        segmentation = item.get("segmentation")
        if segmentation is None:
            hint = "; this is a file of boxes" if "bbox" in item else ""
            raise DataError(f"{where}: has no segmentation{hint}; masks are needed")
        try:
            runs = segmentation_to_runs(segmentation, shape)
            if len(runs[0]) == 0 and lies_outside(segmentation, shape):
                raise LabelError(f"its polygon lies wholly outside the {shape[1]}x{shape[0]} image")
        except (LabelError, RleError) as error:
            raise type(error)(f"{where}: {error}") from error
        return runs

    def _nothing_known(self) -> str:
        if not self.finder.unknown:
            return f"{self.path}: no results"
        ids = list(self.finder.unknown)
        return (
            f"{self.path}: none of its {counted(len(ids), 'image id')} is an image of "
            f"the truth; the first is {ids[0]}, the truth has {next(iter(self.shapes))}. "
            "Give --image-names to say what ids mean: the COCO file that the model was run on, or "
            "a CSV with id,file_name"
        )


def _brief(value: object) -> str:
    return shortened(repr(value))
