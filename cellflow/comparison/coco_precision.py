"""COCO's average precision in addition to the competition's, by COCO's tools (extra ``[coco]``)."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from cellflow.comparison.result import CocoPrecision
from cellflow.data.coco_rle import masks_to_counts
from cellflow.errors import ConfigError
from cellflow.records import CellMasks, Detections

FEWEST_MAX_DETECTIONS = 1000
"""Lowest limit on the detections per image. COCO's own 100 hides most of a dense image: with 400
cells the same detections have an AP of 0.187 instead of 0.720."""

INSTALL = "pip install 'cellflow[coco]'"


def has_coco_tools() -> bool:
    """Tell whether the extra ``[coco]`` is installed."""
    return importlib.util.find_spec("faster_coco_eval") is not None


def coco_precision(
    truths: Mapping[str, CellMasks], detections: Mapping[str, Detections]
) -> CocoPrecision:
    """Give COCO's average precision of masks.

    Parameters
    ----------
    truths : mapping of image name to CellMasks
        Of the images to evaluate.
    detections : mapping of image name to Detections
        As the method gave them, overlaps and low scores included; a missing image has no
        detections. Without scores all detections rank equal.

    Raises
    ------
    ConfigError
        The extra ``[coco]`` is not installed.

    Notes
    -----
    All cells are one category. IoU thresholds 0.50 … 0.95 with ``>=``, 101 recall points, all
    areas.
    """
    if not has_coco_tools():
        raise ConfigError(f"COCO precision needs faster-coco-eval: {INSTALL}")
    from faster_coco_eval import COCO, COCOeval_faster

    results = _results(truths, detections)
    most = max((len(one.masks) for one in detections.values()), default=0)
    max_detections = max(FEWEST_MAX_DETECTIONS, most)
    truth = COCO(_annotations(truths))
    evaluation = COCOeval_faster(truth, truth.loadRes(results), iouType="segm")
    evaluation.params.maxDets = [1, 10, max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    # Axes: IoU threshold, recall, category, area range, maxDets; -1 where there is no truth.
    precision = np.asarray(evaluation.eval["precision"])[:, :, 0, 0, -1]
    per_threshold = np.where(precision > -1, precision, np.nan).mean(axis=1)
    return CocoPrecision(
        ap=float(per_threshold.mean()),
        ap50=float(per_threshold[0]),
        ap75=float(per_threshold[5]),
        max_detections=max_detections,
        has_scores=any(one.scores is not None for one in detections.values()),
    )


def _annotations(truths: Mapping[str, CellMasks]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, masks in enumerate(truths.values(), start=1):
        height, width = masks.shape
        images.append({"id": number, "height": height, "width": width})
        for segmentation, area in zip(_segmentations(masks), masks.areas.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": segmentation,
                    "area": area,
                    "bbox": [0, 0, width, height],
                    "iscrowd": 0,
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cell"}],
    }


def _results(
    truths: Mapping[str, CellMasks], detections: Mapping[str, Detections]
) -> list[dict[str, Any]]:
    results = []
    for number, name in enumerate(truths, start=1):
        if name not in detections:
            continue
        found = detections[name]
        scores = np.ones(len(found.masks)) if found.scores is None else found.scores
        for segmentation, score in zip(_segmentations(found.masks), scores.tolist(), strict=True):
            results.append(
                {
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": segmentation,
                    "score": score,
                }
            )
    return results


def _segmentations(masks: CellMasks) -> list[dict[str, Any]]:
    size = list(masks.shape)
    return [{"size": size, "counts": counts} for counts in masks_to_counts(masks)]
