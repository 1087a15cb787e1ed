"""Which images to look at first: the worst or, without truth, the most unusual."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.average_precision import average_precision
from cellflow.report.subject import Subject, median_diameter

FEWEST = 5
"""Fewest images from which to say what is usual."""
UNUSUAL = 3.0
"""Robust standard deviations from the median at which a property is mentioned."""
LEAST_SPREAD = 0.05
"""Lower bound on the standard deviation of a logarithm or a share, so that a small difference does
not seem large among nearly equal images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """An image and the reasons for its rank.

    Parameters
    ----------
    index : int
        Of the image in the subject.
    reasons : tuple of str
        What is unusual about it; empty with truth, where the score decides.
    """

    index: int
    reasons: tuple[str, ...] = ()


def rank_images(subject: Subject) -> list[Ranked]:
    """Order the images by how urgently they should be looked at.

    Parameters
    ----------
    subject : Subject

    Returns
    -------
    list of Ranked
        With truth: by mean score over the models, worst first. Without: first images in which a
        model found nothing, then by how far the number, size or confidence of the cells or the
        agreement of the models lie from the median of all images.
    """
    if subject.scores:
        means = np.mean([score.image_scores for score in subject.scores], axis=0)
        return [Ranked(index=int(index)) for index in np.argsort(means, kind="stable")]
    return _by_suspicion(subject)


def agreement(subject: Subject) -> NDArray[np.float64]:
    """Measure how well the models agree on each image.

    Returns
    -------
    (N,) float64
        Average precision of one model against the other, mean over all pairs of models; NaN for a
        single model.
    """
    pairs = [(a, b) for b in range(len(subject.models)) for a in range(b)]
    if not pairs:
        return np.full(len(subject.images), np.nan)
    return np.array(
        [
            np.mean(
                [
                    average_precision(subject.cells(a, image), subject.cells(b, image)).mean
                    for a, b in pairs
                ]
            )
            for image in subject.images
        ]
    )


def _by_suspicion(subject: Subject) -> list[Ranked]:
    n_images = len(subject.images)
    reasons: list[list[str]] = [[] for _ in range(n_images)]
    suspicion = np.zeros(n_images)
    for model, one in enumerate(subject.models):
        whose = f" by {one}" if len(subject.models) > 1 else ""
        found = [subject.cells(model, image) for image in subject.images]
        counts = np.array([len(masks) for masks in found])
        sizes = np.array([median_diameter(masks) for masks in found])
        for index in np.flatnonzero(counts == 0):
            missing = subject.images[index] not in subject.predicted[model]
            reasons[index].append(f"not in the file of {one}" if missing else f"no cell{whose}")
            suspicion[index] = np.inf
        _note(
            suspicion,
            reasons,
            np.log(np.maximum(counts, 1)),
            counts > 0,
            ("few cells", "many cells"),
            whose,
        )
        _note(suspicion, reasons, np.log(sizes), counts > 0, ("small cells", "large cells"), whose)
        sure = np.array([_median_confidence(subject, model, image) for image in subject.images])
        _note(suspicion, reasons, sure, np.isfinite(sure), ("low confidence", ""), whose)
    shared = agreement(subject)
    _note(suspicion, reasons, shared, np.isfinite(shared), ("the models disagree", ""), "")
    order = np.argsort(-suspicion, kind="stable")
    return [Ranked(index=int(i), reasons=tuple(dict.fromkeys(reasons[i]))) for i in order]


def _median_confidence(subject: Subject, model: int, image: str) -> float:
    confidence = subject.confidence(model, image)
    return (
        float("nan") if confidence is None or not len(confidence) else float(np.median(confidence))
    )


def _note(
    suspicion: NDArray[np.float64],
    reasons: list[list[str]],
    values: NDArray[np.float64],
    known: NDArray[np.bool_],
    words: tuple[str, str],
    whose: str,
) -> None:
    """Raise the suspicion of images with an unusual value, and add the reason.

    `words` describe values that are too low and too high; an empty word ignores that direction.
    """
    if known.sum() < FEWEST:
        return
    middle = np.median(values[known])
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(values[known] - middle))))
    for index in np.flatnonzero(known):
        distance = (values[index] - middle) / spread
        word = words[int(distance > 0)]
        if word:
            suspicion[index] = max(suspicion[index], abs(distance))
        if word and abs(distance) >= UNUSUAL:
            reasons[index].append(word + whose)
