"""The subject of a report: images, the cells of every model, and their scores if there is truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.coco_precision import INSTALL
from cellflow.comparison.count_limits import count_limit_remarks
from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.result import Comparison
from cellflow.comparison.score import MethodScore
from cellflow.errors import ConfigError, DataError, ImageError
from cellflow.metrics.score import Score
from cellflow.records import CellMasks, Shape
from cellflow.report.picture_files import require_some
from cellflow.wording import counted, some_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """N images and M models.

    Parameters
    ----------
    models : tuple of M str
        Their names.
    images : tuple of N str
    cell_types : tuple of N (str or None)
    truths : mapping of image name to CellMasks, or None
        None = there is no truth at all; otherwise every image has its truth.
    predicted : tuple of M mappings of image name to CellMasks
        Images that are not in the model's file are missing.
    shapes : mapping of image name to (H, W)
    confidences : tuple of M mappings of image name to (cells,) float32
        Of the cells in their order, in [0, 1]; empty for a model without confidences, and with
        truth, where cells have already been cut by confidence.
    scores : tuple of M Score
        Over the N images in their order; empty without truth.
    comparison : Comparison or None
        Of the M models.
    pictures : mapping of image name to Path
        The image files; some or all may be missing.
    remarks : tuple of str
        What the reader must know.
    """

    models: tuple[str, ...]
    images: tuple[str, ...]
    cell_types: tuple[str | None, ...]
    truths: Mapping[str, CellMasks] | None
    predicted: tuple[Mapping[str, CellMasks], ...]
    shapes: Mapping[str, Shape]
    confidences: tuple[Mapping[str, NDArray[np.float32]], ...] = ()
    scores: tuple[Score, ...] = ()
    comparison: Comparison | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The cell types, sorted; empty if none is known."""
        return tuple(sorted({kind for kind in self.cell_types if kind is not None}))

    def cells(self, model: int, image: str) -> CellMasks:
        """Give a model's cells; none if its file lacks the image."""
        found = self.predicted[model].get(image)
        return CellMasks.empty(self.shapes[image]) if found is None else found

    def confidence(self, model: int, image: str) -> NDArray[np.float32] | None:
        """Give a model's confidence in its cells, (cells,) float32; None if it gives none."""
        return self.confidences[model].get(image) if self.confidences else None

    def with_pictures(self, pictures: dict[str, Path]) -> "Subject":
        """Give the subject with image files; without any it is unchanged.

        Raises
        ------
        DataError
            There are pictures, but none of the subject's images.
        """
        if not pictures:
            return self
        require_some(pictures, self.images)
        missing = [name for name in self.images if name not in pictures]
        remarks = [f"{counted(len(missing), 'image')} without a picture: {some_of(missing)}"]
        return replace(
            self,
            pictures={name: pictures[name] for name in self.images if name in pictures},
            remarks=(*self.remarks, *(remarks if missing else [])),
        )


def subject_of_score(score: MethodScore) -> Subject:
    """Give the subject of one method's score.

    Raises
    ------
    ConfigError
        The score is of other thresholds than the ten that a report shows.
    """
    if not score.has_all_thresholds:
        raise ConfigError("a report shows the thresholds 0.50, 0.55 … 0.95; score with all of them")
    return Subject(
        models=(score.method,),
        images=score.names,
        cell_types=score.cell_types,
        truths=score.truths,
        predicted=(score.predicted,),
        shapes={image: masks.shape for image, masks in score.truths.items()},
        scores=(score,),
        remarks=score.remarks,
    )


def subject_of_comparison(comparison: Comparison) -> Subject:
    """Give the subject of a comparison; its remarks on what to install are left out."""
    first = comparison.scores[0]
    return Subject(
        models=comparison.names,
        images=first.names,
        cell_types=first.cell_types,
        truths=comparison.truths,
        predicted=comparison.predicted,
        shapes={name: masks.shape for name, masks in comparison.truths.items()},
        scores=comparison.scores,
        comparison=comparison,
        remarks=tuple(remark for remark in comparison.remarks if INSTALL not in remark),
    )


def subject_without_truth(
    outputs: Sequence[MethodOutput],
    shapes: Mapping[str, Shape],
    unread: Mapping[str, ImageError] | None = None,
) -> Subject:
    """Give the subject of predictions without truth.

    Parameters
    ----------
    outputs : sequence of MethodOutput
    shapes : mapping of image name to (H, W)
        The available images; others are left out, with a remark.
    unread : mapping of image name to ImageError, optional
        Images that exist but cannot be read, so that their size is unknown.

    Raises
    ------
    DataError
        None of the images is available.
    """
    names = tuple(dict.fromkeys(image for one in outputs for image in one.detections))
    remarks = [remark for output in outputs for remark in output.remarks]
    unread = unread or {}
    remarks += [f"left out: {unread[name]}" for name in names if name in unread]
    unknown = [name for name in names if name not in shapes and name not in unread]
    if unknown:
        remarks.append(
            f"{counted(len(unknown), 'image')} left out that --images lack: {some_of(unknown)}"
        )
    images = tuple(name for name in names if name in shapes)
    if not images:
        raise DataError(
            f"--images: none of the {len(shapes)}, such as {next(iter(shapes), 'none')}, is one of "
            f"the {len(names)} images of {outputs[0].name}, such as {next(iter(names), 'none')}"
        )
    for output in outputs:
        counts = {name: len(one.masks) for name, one in output.detections.items()}
        remarks += count_limit_remarks(output.name, counts, {})
    detections = [
        {image: one.detections[image] for image in images if image in one.detections}
        for one in outputs
    ]
    return Subject(
        models=tuple(output.name for output in outputs),
        images=images,
        cell_types=(None,) * len(images),
        truths=None,
        predicted=tuple({name: one.masks for name, one in found.items()} for found in detections),
        confidences=tuple(
            {name: one.scores for name, one in found.items() if one.scores is not None}
            for found in detections
        ),
        shapes={image: shapes[image] for image in images},
        remarks=tuple(remarks),
    )


def median_diameter(masks: CellMasks) -> float:
    """Give the median equivalent diameter, pixels; NaN without cells."""
    return float(np.median(masks.diameters)) if len(masks) else float("nan")
