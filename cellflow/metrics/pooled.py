"""Precision, recall, F1 and panoptic quality, of counts that are summed over images ("micro")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.records import MatchCounts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pooled:
    """Hits and misses of some images together, at T IoU thresholds.

    Parameters
    ----------
    counts : MatchCounts
        Summed over the images, of cells that are matched one-to-one.

    Notes
    -----
    All properties are (T,) float64. A ratio is NaN where its denominator is 0: the precision
    without predictions, the recall without truths, the IoU without hits.

    Examples
    --------
    >>> from cellflow.metrics.average_precision import average_precision
    >>> truth, found = np.array([[1, 1, 1, 0, 2, 0]]), np.array([[1, 1, 1, 0, 0, 2]])
    >>> at_half = pool([average_precision(truth, found, thresholds=[0.5]).counts])
    >>> at_half.precision, at_half.average_precision, at_half.panoptic_quality
    (array([0.5]), array([0.33333333]), array([0.5]))
    """

    counts: MatchCounts

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP): the share of the predictions that are hits."""
        return _ratio(self.counts.tp, self.counts.tp + self.counts.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """TP / (TP + FN): the share of the truths that are found."""
        return _ratio(self.counts.tp, self.counts.tp + self.counts.fn)

    @property
    def f1(self) -> NDArray[np.float64]:
        """TP / (TP + FP / 2 + FN / 2): the harmonic mean of precision and recall."""
        return _ratio(self.counts.tp, self._mean_cells)

    @property
    def average_precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN), as Cellpose and StarDist ("accuracy") define it for an image."""
        return _ratio(self.counts.tp, self.counts.tp + self.counts.fp + self.counts.fn)

    @property
    def mean_matched_iou(self) -> NDArray[np.float64]:
        """Mean IoU of the matched pairs; at 0.5 also called segmentation quality."""
        return _ratio(self.counts.iou_sum, self.counts.tp)

    @property
    def panoptic_quality(self) -> NDArray[np.float64]:
        """F1 times the mean IoU of the matched pairs.

        References
        ----------
        Kirillov et al., Panoptic Segmentation, CVPR 2019; usually at a threshold of 0.5.
        """
        return _ratio(self.counts.iou_sum, self._mean_cells)

    @property
    def _mean_cells(self) -> NDArray[np.float64]:
        """The mean of the numbers of truths and of predictions."""
        return self.counts.tp + (self.counts.fp + self.counts.fn) / 2

    def to_dict(self) -> dict[str, Any]:
        """Give counts and ratios as plain lists over the thresholds, for JSON."""
        return {
            "tp": self.counts.tp.tolist(),
            "fp": self.counts.fp.tolist(),
            "fn": self.counts.fn.tolist(),
            "precision": self.precision.tolist(),
            "recall": self.recall.tolist(),
            "f1": self.f1.tolist(),
            "average_precision": self.average_precision.tolist(),
            "mean_matched_iou": self.mean_matched_iou.tolist(),
            "panoptic_quality": self.panoptic_quality.tolist(),
        }


def pool(images: Sequence[MatchCounts]) -> Pooled:
    """Sum the counts of at least one image, all at the same thresholds."""
    tp, fp, fn = (
        np.sum([getattr(one, side) for one in images], axis=0) for side in ("tp", "fp", "fn")
    )
    iou_sum = np.sum([one.iou_sum for one in images], axis=0)
    first = images[0].thresholds
    return Pooled(counts=MatchCounts(thresholds=first, tp=tp, fp=fp, fn=fn, iou_sum=iou_sum))


def _ratio(
    part: NDArray[np.int64] | NDArray[np.float64], whole: NDArray[np.int64] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Divide; NaN where `whole` is 0."""
    ratio: NDArray[np.float64] = np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
    return ratio
