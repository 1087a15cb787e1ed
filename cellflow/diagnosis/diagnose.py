"""What limits the score of a prediction: its errors, the flows, and the annotations themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cellflow.diagnosis.annotation_limits import SizeLimits, annotation_limits
from cellflow.diagnosis.boundary_bias import BoundaryBias, boundary_offsets, summarize_offsets
from cellflow.diagnosis.representation import measure_representation
from cellflow.errors import DataError
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import mean_interval
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.error_budget import ErrorBudget, image_errors, summarize_errors
from cellflow.records import CellMasks
from cellflow.telling import Report, ignore

ALL = "all"
"""Name of the row of all images together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeDiagnosis:
    """Diagnosis of the images of one cell type, or of all.

    Parameters
    ----------
    n_images, n_truths : int
    flattened, largest_pieces, through_flows : Interval
        Scores of a perfect network, see `Representation`.
    budget : ErrorBudget or None
        None without a prediction.
    bias : BoundaryBias or None
        None without a prediction.
    """

    n_images: int
    n_truths: int
    flattened: Interval
    largest_pieces: Interval
    through_flows: Interval
    budget: ErrorBudget | None
    bias: BoundaryBias | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What limits the score.

    Parameters
    ----------
    name : str
        Of the prediction, or of the truth alone.
    types : mapping of str to TypeDiagnosis
        ``all``, then each cell type.
    limits : tuple of SizeLimits
        How one pixel changes the IoU of cells of each size.
    remarks : tuple of str
        Sentences that a reader must know.
    """

    name: str
    types: Mapping[str, TypeDiagnosis]
    limits: tuple[SizeLimits, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the diagnosis as plain values, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Give the diagnosis as a text table."""
        from cellflow.diagnosis.tables import diagnosis_table

        return diagnosis_table(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """An image to diagnose.

    Parameters
    ----------
    truth : CellMasks
    predicted : CellMasks or None
        None if only the truth is diagnosed.
    cell_type, group : str or None
    """

    truth: CellMasks
    predicted: CellMasks | None = None
    cell_type: str | None = None
    group: str | None = None


def diagnose(
    name: str,
    images: Sequence[Examined],
    *,
    seed: int = 0,
    remarks: Sequence[str] = (),
    report: Report = ignore,
) -> Diagnosis:
    """Measure what limits the score of a prediction, or of any prediction of these cells.

    Parameters
    ----------
    name : str
    images : sequence of Examined
        Either all with a prediction, or all without.
    seed : int
        Of the bootstrap.
    remarks : sequence of str
        Remarks for the result.
    report : callable
        ``report(step, numbers)`` after every image; numbers hold ``total``.

    Raises
    ------
    DataError
        There is no image.
    LabelError
        Prediction and truth of an image differ in size.
    """
    if not images:
        raise DataError("no image to diagnose")
    representations, errors, offsets = [], [], []
    for step, image in enumerate(images):
        representations.append(measure_representation(image.truth))
        if image.predicted is not None:
            errors.append(image_errors(image.truth, image.predicted))
            offsets.append(boundary_offsets(image.truth, image.predicted))
        report(step + 1, {"total": len(images)})

    def of_images(own: Sequence[int]) -> TypeDiagnosis:
        how: dict[str, Any] = {
            "rng": np.random.default_rng(seed),
            "strata": [images[i].cell_type for i in own],
            "clusters": [images[i].group for i in own],
        }
        ceilings = {
            field: mean_interval(
                np.array([getattr(representations[i], field) for i in own]), within=(0, 1), **how
            )
            for field in ("flattened", "largest_pieces", "through_flows")
        }
        return TypeDiagnosis(
            n_images=len(own),
            n_truths=sum(len(images[i].truth) for i in own),
            **ceilings,
            budget=summarize_errors([errors[i] for i in own], **how) if errors else None,
            bias=summarize_offsets([offsets[i] for i in own], **how) if errors else None,
        )

    types = {ALL: of_images(range(len(images)))}
    for kind, own in indices_by_type(image.cell_type for image in images).items():
        types[kind] = of_images(own)
    return Diagnosis(
        name=name,
        types=types,
        limits=annotation_limits(image.truth for image in images),
        remarks=tuple(remarks),
    )
