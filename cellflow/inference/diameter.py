"""The diameter of cells from their areas, as Cellpose defines it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median_diameter(areas: NDArray[np.integer[Any]]) -> float:
    """Give the median over cells of the diameter of a disc with the cell's area.

    Parameters
    ----------
    areas : (N,) integer
        Pixels; zeros (labels without pixels) are left out.

    Returns
    -------
    float
        Pixels; 0 without cells. Equal to ``2 / sqrt(pi) · median(sqrt(area))``.
    """
    present = areas[areas > 0]
    return float(np.median(np.sqrt(present)) * 2 / np.sqrt(np.pi)) if len(present) else 0.0
