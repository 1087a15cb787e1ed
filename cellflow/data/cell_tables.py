"""`Prediction` to CSV tables: one row a cell, or one row an image."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.data.tables import write_table
from cellflow.records import Prediction

CELL_COLUMNS = (
    "image",
    "cell",
    "area_px",
    "equivalent_diameter_px",
    "center_y_px",
    "center_x_px",
    "y_min_px",
    "x_min_px",
    "y_max_px",
    "x_max_px",
    "on_edge",
    "score",
    "image_confluence",
)
COUNT_COLUMNS = (
    "image",
    "cells",
    "cells_on_edge",
    "confluence",
    "mean_area_px",
    "median_area_px",
    "median_equivalent_diameter_px",
    "mean_score",
    "cell_type",
)


def write_cells(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write one row a cell: where it is, how large, how sure.

    Notes
    -----
    The equivalent diameter is that of a disc of the same area, ``2 sqrt(area / pi)``. Confluence is
    the share of the image that cells cover, repeated in all rows of an image. An image without
    cells has no row.

    The bounding box is half-open and counts from 0, as in scikit-image: a cell has pixels in the
    rows ``y_min`` to ``y_max - 1``. A cell is on the edge (1, else 0) if it has pixels in the first
    or last row or column of the image, which may then hold only a part of it.
    """
    write_table(path, CELL_COLUMNS, (row for one in predictions for row in _cell_rows(one)))


def write_counts(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write one row an image: how many cells, how much of it they cover, how large they are.

    Notes
    -----
    An image without cells has a row with 0 cells and empty sizes. The cell type is what the model
    predicted, or empty.
    """
    write_table(path, COUNT_COLUMNS, map(_count_row, predictions))


def _cell_rows(prediction: Prediction) -> Iterator[tuple[object, ...]]:
    from scipy.ndimage import find_objects

    flat = prediction.labels.ravel()
    areas = np.bincount(flat, minlength=1)
    rows, columns = np.indices(prediction.labels.shape)
    centers_y = np.bincount(flat, rows.ravel()) / np.maximum(areas, 1)
    centers_x = np.bincount(flat, columns.ravel()) / np.maximum(areas, 1)
    confluence = _confluence(prediction)
    on_edge = _numbers_on_edge(prediction)
    for label, box in enumerate(find_objects(prediction.labels), 1):
        if box is None:
            continue  # The user has taken this cell out.
        y, x = box
        yield (
            prediction.name,
            label,
            int(areas[label]),
            round(_equivalent_diameter(areas[label]), 3),
            round(float(centers_y[label]), 2),
            round(float(centers_x[label]), 2),
            y.start,
            x.start,
            y.stop,
            x.stop,
            int(label in on_edge),
            round(float(prediction.scores[label - 1]), 4),
            confluence,
        )


def _count_row(prediction: Prediction) -> tuple[object, ...]:
    cells = prediction.numbers
    areas: NDArray[np.int64] = np.bincount(prediction.labels.ravel(), minlength=1)[cells]
    sizes: tuple[object, ...] = ("",) * 4
    if len(areas):
        median = float(np.median(areas))
        sizes = (
            round(float(areas.mean()), 2),
            median,
            round(_equivalent_diameter(median), 3),
            round(float(prediction.scores[cells - 1].mean()), 4),
        )
    kind = prediction.cell_type or ""
    n_on_edge = len(_numbers_on_edge(prediction))
    return (prediction.name, len(areas), n_on_edge, _confluence(prediction), *sizes, kind)


def _numbers_on_edge(prediction: Prediction) -> set[int]:
    """Give the cells with pixels in the first or last row or column of the image."""
    labels = prediction.labels
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return set(border.tolist()) - {0}


def _equivalent_diameter(area: float) -> float:
    return 2 * float(np.sqrt(area / np.pi))


def _confluence(prediction: Prediction) -> float:
    return round(float((prediction.labels > 0).mean()), 5)
