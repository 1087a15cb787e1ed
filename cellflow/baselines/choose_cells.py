"""Choose which of a model's cells to keep, and resolve their overlaps."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cellflow.baselines.learner import DetectedCells
from cellflow.baselines.settings import CellChoice
from cellflow.data.label_images import keep_labels
from cellflow.errors import ConfigError
from cellflow.inference.overlap_rules import resolve_overlap
from cellflow.records import Detections, Prediction

ANY_KIND = "cell"
"""The class if the data has no cell types."""


def choose_cells(
    found: DetectedCells, name: str, classes: Sequence[str], settings: CellChoice
) -> Prediction:
    """Apply score thresholds, then the overlap rule, then minimum areas; limits are by class.

    Parameters
    ----------
    found : DetectedCells
    name : str
        Of the image.
    classes : sequence of str
        Names of the class numbers in `found.kinds`.
    settings : CellChoice

    Returns
    -------
    Prediction
        Its cell type is the class with the largest sum of scores, its probability that class's
        share.
    """
    limits = _by_kind(settings.score_threshold, settings.score_thresholds, classes)
    sure = np.flatnonzero(found.scores >= limits[found.kinds])
    kinds = found.kinds[sure]
    resolved = resolve_overlap(
        Detections(name=name, masks=found.masks.select(sure), scores=found.scores[sure]),
        settings.overlap_rule,
    )
    kinds = kinds[resolved.kept]
    labels, scores = resolved.prediction.labels, resolved.prediction.scores
    areas = np.bincount(labels.ravel(), minlength=len(scores) + 1)[1:]
    large = areas >= _by_kind(settings.min_area, settings.min_areas, classes)[kinds]
    kind, share = _main_kind(kinds[large], scores[large], classes)
    return Prediction(
        name=name,
        labels=keep_labels(labels, large),
        scores=scores[large],
        cell_type=kind,
        cell_type_probability=share,
    )


def require_known_classes(settings: CellChoice, model: str, classes: Sequence[str]) -> None:
    """Refuse limits for classes that do not exist.

    Parameters
    ----------
    settings : CellChoice
    model : str
        One of `MODELS`; the U-Net does not predict classes.
    classes : sequence of str
        Of its training images.

    Raises
    ------
    ConfigError
        There is such a limit; the message names it.
    """
    for name in (*settings.score_thresholds, *settings.min_areas):
        if model == "unet":
            raise ConfigError(f"cells: limits for {name!r}, but the U-Net has no classes")
        if name not in classes:
            raise ConfigError(
                f"cells: limits for {name!r}, but the model's classes are {', '.join(classes)}"
            )


def _by_kind(
    default: float, own: Mapping[str, float], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Give the limit of each class, and as the last entry the default, for class number -1."""
    return np.array([*(own.get(name, default) for name in classes), default], np.float64)


def _main_kind(
    kinds: NDArray[np.int64], scores: NDArray[np.float32], classes: Sequence[str]
) -> tuple[str | None, float | None]:
    told = kinds >= 0
    if tuple(classes) == (ANY_KIND,) or not told.any():
        return None, None
    sums = np.bincount(kinds[told], scores[told], minlength=len(classes))
    main = int(sums.argmax())
    return classes[main], float(sums[main] / sums.sum()) if sums.sum() > 0 else None
