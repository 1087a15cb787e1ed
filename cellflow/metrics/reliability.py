"""Reliability of confidences: are they calibrated, do they rank right cells above wrong ones."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

N_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Reliability of the confidences of some cells.

    Parameters
    ----------
    n_cells : int
    share_right : float
        Share of the cells that are right.
    calibration_error : float
        Mean absolute difference of confidence and share of right cells, over ten bins of equally
        many cells; 0 = perfectly calibrated.
    brier : float
        Mean squared difference of confidence and outcome; a constant confidence of 0.5 gives 0.25.
    auc : float
        Probability that a right cell has a higher confidence than a wrong one; 0.5 = no ranking.
    """

    n_cells: int
    share_right: float
    calibration_error: float
    brier: float
    auc: float

    def to_dict(self) -> dict[str, float]:
        """Give it as plain values, for JSON."""
        return asdict(self)


def measure_reliability(
    confidences: NDArray[np.floating[Any]], is_right: NDArray[np.bool_]
) -> Reliability:
    """Compare the confidences of N cells with whether they are right.

    Parameters
    ----------
    confidences : (N,) float
        In [0, 1].
    is_right : (N,) bool

    Notes
    -----
    Without cells, all numbers but `n_cells` are NaN; if all cells are right, or all wrong, `auc`
    is. For `auc`, a right and a wrong cell with equal confidences count one half. Cells of equal
    confidence that fall into two bins count in each with their common share of right cells.
    """
    n = len(confidences)
    if n == 0:
        nan = float("nan")
        return Reliability(n_cells=0, share_right=nan, calibration_error=nan, brier=nan, auc=nan)
    values, right = confidences.astype(np.float64), is_right.astype(np.float64)
    order = np.argsort(values, kind="stable")
    level = np.unique(values, return_inverse=True)[1]
    shares = (np.bincount(level, right) / np.bincount(level))[level]
    bins = np.array_split(order, min(N_BINS, n))
    distances = [abs(values[part].mean() - shares[part].mean()) * len(part) for part in bins]
    n_right = int(is_right.sum())
    auc = float("nan")
    if 0 < n_right < n:
        ranks = rankdata(values)[is_right].sum() - n_right * (n_right + 1) / 2
        auc = float(ranks / (n_right * (n - n_right)))
    return Reliability(
        n_cells=n,
        share_right=float(right.mean()),
        calibration_error=float(sum(distances) / n),
        brier=float(((values - right) ** 2).mean()),
        auc=auc,
    )
