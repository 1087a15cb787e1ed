"""The cell type of an image from the network's style vector: a linear head that may abstain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.atomic import write_json
from cellflow.errors import ModelError
from cellflow.jsontext import read_object
from cellflow.metrics.by_type import indices_by_type
from cellflow.network.logistic import Logistic, fit_logistic

CELL_TYPES = "cell_types.json"
FORMAT = 1
"""Of the file; newer ones are refused."""

FEWEST_GROUPS = 3
"""Fewest independent images (or wells) of a type that can be learnt and cross-validated."""
N_FOLDS = 5
PENALTIES = (0.003, 0.03, 0.3)
"""Tried by cross-validation; among equally good ones the largest is taken."""
LOWEST_THRESHOLD = 0.5
WRONG_SHARE = 0.02
"""Share of the images with a predicted type that may be wrong in cross-validation."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellTypeHead:
    """Predicts the cell type of an image.

    Parameters
    ----------
    cell_types : tuple of K str
    logistic : Logistic
        On style vectors.
    threshold : float
        Probability below which it abstains.
    record : mapping
        How it was fitted: images of each type, and the shares of right, wrong and abstained in
        cross-validation.
    """

    cell_types: tuple[str, ...]
    logistic: Logistic
    threshold: float
    record: Mapping[str, Any] = field(default_factory=dict)

    def classify(self, style: NDArray[np.floating[Any]]) -> tuple[str | None, float | None]:
        """Give the cell type of an image and its probability.

        Parameters
        ----------
        style : (D,) float
            Of the whole image.

        Returns
        -------
        cell_type : str or None
            None when the most probable type is less probable than the threshold, or the image
            shows nothing: its style is 0.
        probability : float or None
            Of the most probable type; None where the image shows nothing.
        """
        if not style.any():
            return None, None
        probabilities = self.logistic.probabilities(style[None].astype(np.float64))[0]
        best = int(probabilities.argmax())
        probability = float(probabilities[best])
        return self.cell_types[best] if probability >= self.threshold else None, probability


def fit_cell_type_head(
    styles: NDArray[np.floating[Any]],
    cell_types: Sequence[str | None],
    groups: Sequence[str | None] | None = None,
) -> CellTypeHead | None:
    """Fit a head to the style vectors of images whose type is known.

    Parameters
    ----------
    styles : (N, D) float
    cell_types : sequence of N str or None
        Images of unknown type are left out.
    groups : sequence of N str or None, optional
        Images of one group (plate + well) stay in one fold of the cross-validation.

    Returns
    -------
    CellTypeHead or None
        None when fewer than two types have `FEWEST_GROUPS` independent images. Types with fewer
        are left out, and named in the record.

    Notes
    -----
    Penalty and threshold are chosen by cross-validation over groups, stratified by type: the
    penalty with the smallest loss, then the lowest threshold at which at most `WRONG_SHARE` of the
    images that get a type get a wrong one. Deterministic.
    """
    folds_of = _fold_numbers(cell_types, groups or [None] * len(cell_types))
    kinds = tuple(sorted(folds_of))
    if len(kinds) < 2:
        return None
    chosen = [i for i, kind in enumerate(cell_types) if kind in folds_of]
    x = np.asarray(styles)[chosen]
    y = np.array([kinds.index(str(cell_types[i])) for i in chosen])
    folds = np.array([folds_of[str(cell_types[i])][i] for i in chosen])
    trials = [_cross_validate(x, y, folds, len(kinds), penalty) for penalty in PENALTIES]
    losses = [float(-np.log(p[np.arange(len(y)), y]).mean()) for p in trials]
    best = max(i for i, loss in enumerate(losses) if loss <= min(losses) + 1e-9)
    threshold, shares = _choose_threshold(trials[best], y)
    counts = {kind: int((y == k).sum()) for k, kind in enumerate(kinds)}
    left_out = sorted({kind for kind in cell_types if kind and kind not in folds_of})
    return CellTypeHead(
        cell_types=kinds,
        logistic=fit_logistic(x, y, len(kinds), PENALTIES[best], common_scale=True),
        threshold=threshold,
        record={
            "images": counts,
            "left_out": left_out,
            "penalty": PENALTIES[best],
            "cross_validation": shares,
        },
    )


def write_cell_type_head(folder: Path | str, head: CellTypeHead) -> None:
    """Write ``cell_types.json`` into a model folder."""
    content = {
        "format": FORMAT,
        "cell_types": head.cell_types,
        "threshold": head.threshold,
        "record": head.record,
        "bias": head.logistic.bias.tolist(),
        "weights": head.logistic.weights.tolist(),
    }
    write_json(Path(folder) / CELL_TYPES, content)


def read_cell_type_head(folder: Path | str, n_features: int) -> CellTypeHead | None:
    """Read ``cell_types.json`` of a model folder; None when there is none.

    Parameters
    ----------
    folder : path
    n_features : int
        Length of the network's style vector.

    Raises
    ------
    ModelError
        The file is broken or for another network, or a newer cellflow wrote it.
    """
    path = Path(folder) / CELL_TYPES
    if not path.exists():
        return None
    content = read_object(path, ModelError, newest=FORMAT)
    try:
        weights = np.array(content["weights"], np.float64)
        bias = np.array(content["bias"], np.float64)
        kinds = tuple(content["cell_types"])
        if weights.shape[1:] != (n_features,):
            raise ValueError(f"expected weights of {n_features} numbers, found {weights.shape}")
        if not len(weights) == len(bias) == len(kinds) >= 2:
            raise ValueError(f"{len(kinds)} types, weights {weights.shape}, bias {bias.shape}")
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ValueError("weights must be finite numbers")
        return CellTypeHead(
            cell_types=kinds,
            logistic=Logistic(weights=weights, bias=bias),
            threshold=float(content["threshold"]),
            record=content["record"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: broken: {error}") from error


def _fold_numbers(
    cell_types: Sequence[str | None], groups: Sequence[str | None]
) -> dict[str, dict[int, int]]:
    """Deal each type's groups out to folds in their order; types with too few are left out."""
    folds_of: dict[str, dict[int, int]] = {}
    for kind, own in indices_by_type(cell_types).items():
        numbers: dict[object, int] = {}
        folds = {
            i: numbers.setdefault(i if groups[i] is None else groups[i], len(numbers)) % N_FOLDS
            for i in own
        }
        if len(numbers) >= FEWEST_GROUPS:
            folds_of[kind] = folds
    return folds_of


def _cross_validate(
    x: NDArray[np.floating[Any]],
    y: NDArray[np.int64],
    folds: NDArray[np.int64],
    n_classes: int,
    penalty: float,
) -> NDArray[np.float64]:
    """Give the (N, K) probabilities of each image from the images of other folds."""
    probabilities = np.empty((len(y), n_classes))
    for fold in np.unique(folds):
        out = folds == fold
        fitted = fit_logistic(x[~out], y[~out], n_classes, penalty, common_scale=True)
        probabilities[out] = fitted.probabilities(x[out].astype(np.float64))
    return np.maximum(probabilities, 1e-300)


def _choose_threshold(
    probabilities: NDArray[np.float64], y: NDArray[np.int64]
) -> tuple[float, dict[str, float]]:
    best, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    candidates = [LOWEST_THRESHOLD, *sorted(p for p in best if p > LOWEST_THRESHOLD)]
    threshold = math.nextafter(1.0, 2.0)
    for candidate in candidates:
        accepted = best >= candidate
        if (~is_right[accepted]).sum() <= WRONG_SHARE * accepted.sum():
            threshold = float(candidate)
            break
    accepted = best >= threshold
    return threshold, {
        "right": float((accepted & is_right).mean()),
        "wrong": float((accepted & ~is_right).mean()),
        "abstained": float((~accepted).mean()),
    }
