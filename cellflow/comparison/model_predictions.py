"""Predictions of a model or baseline folder, and which of the images it was trained on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.data.images import find_images, read_image
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError, ModelError, SubmissionError
from cellflow.jsontext import read_object
from cellflow.records import Detections, Prediction
from cellflow.telling import Report, Say
from cellflow.wording import counted

# Importing torch takes more than a second, so modules that need it are imported where used.


def is_model(folder: Path) -> bool:
    """Tell whether a folder holds a trained cellflow model or baseline."""
    from cellflow.baselines.baseline_folder import is_baseline_folder
    from cellflow.network.model_folder import CONFIG

    return (folder / CONFIG).is_file() or is_baseline_folder(folder)


def find_wanted_pictures(sources: Sequence[Path], wanted: Collection[str]) -> dict[str, Path]:
    """Give the files of the wanted images, by image name in the order of `wanted`.

    Raises
    ------
    DataError
        Two files have the name of one wanted image.
    SubmissionError
        No file has the name of a wanted image.
    """
    pictures: dict[str, Path] = {}
    for path in find_images(sources):
        other = pictures.setdefault(path.stem, path)
        if path.stem in wanted and other.resolve() != path.resolve():
            raise DataError(f"--images: {other} and {path} are both image {path.stem}")
    found = {image: pictures[image] for image in wanted if image in pictures}
    if not found:
        raise SubmissionError(
            f"none of the {counted(len(pictures), 'image')} is one of the truth; the first is "
            f"{next(iter(pictures))}, the truth has {next(iter(wanted))}"
        )
    return found


def predict_pictures(
    folder: Path, pictures: Mapping[str, Path], name: str, *, device: str, report: Report
) -> tuple[dict[str, Detections], tuple[str, ...]]:
    """Run a model or a baseline on image files.

    Parameters
    ----------
    folder : Path
        Of the model.
    pictures : mapping of image name to Path
    name : str
        Name of the model in remarks.
    device : str
        As for `choose_device`.
    report : callable
        ``report(step, numbers)`` after every image; numbers hold ``total``.

    Returns
    -------
    detections : dict of image name to Detections
    remarks : tuple of str
        Which images the model was trained on or selected by, and where it reached its limit of
        detections.

    Raises
    ------
    ModelError, ImageError
        The model or a picture cannot be read.
    """
    full: list[str] = []
    predict = _load_model(folder, device, full.append)
    detections = {}
    for done, (image, path) in enumerate(pictures.items(), start=1):
        detections[image] = _as_detections(predict(read_image(path), image))
        report(done, {"total": len(pictures)})
    remarks = _learnt_remarks(folder, name, list(pictures))
    if full:
        where = counted(len(full), "image")
        remarks.append(f"{name} has as many cells as it may list on {where}: {full[0]}")
    return detections, tuple(remarks)


def _learnt_remarks(folder: Path, name: str, images: Sequence[str]) -> list[str]:
    """Warn of images that the model, by its record, was trained on or selected by."""
    from cellflow.baselines.baseline_folder import is_baseline_folder
    from cellflow.network.model_folder import BASELINE, CONFIG, learnt_images

    file = folder / (BASELINE if is_baseline_folder(folder) else CONFIG)
    record = read_object(file, ModelError)
    trained = learnt_images(record)
    remarks = []
    if learnt := [image for image in images if image in trained]:
        remarks.append(
            f"{name} was trained on {len(learnt)} of the {counted(len(images), 'image')} that it "
            f"predicts here, such as {learnt[0]}: what it finds there says nothing of new images"
        )
    for what, choosers in _choices(folder, record).items():
        if chosen_by := [image for image in images if image in choosers - trained]:
            remarks.append(
                f"{len(chosen_by)} of the {counted(len(images), 'image')} that {name} predicts "
                f"here, such as {chosen_by[0]}, chose {what}: its score on them is too high"
            )
    return remarks


def _choices(folder: Path, record: Mapping[str, Any]) -> dict[str, set[str]]:
    """Give what was chosen for the model by scores, each with the images that were scored."""
    from cellflow.network.model_folder import held_out_images
    from cellflow.network.thresholds import THRESHOLDS, read_thresholds

    held_out, run = held_out_images(record), record.get("run")
    choices: dict[str, set[str]] = {}
    if isinstance(run, Mapping) and run.get("kept") == "best":
        choices["its weights among those of all validations"] = held_out
    if isinstance(run, Mapping) and run.get("patience") is not None:
        choices["when its training ended"] = held_out
    if (folder / THRESHOLDS).is_file() and (provenance := read_thresholds(folder).provenance):
        choices["its thresholds"] = set(provenance.images)
    return choices


def _load_model(folder: Path, device: str, say: Say) -> Callable[[NDArray[Any], str], Prediction]:
    """Load a cellflow model folder or a trained baseline; give its function of prediction."""
    from cellflow.baselines.baseline_folder import is_baseline_folder
    from cellflow.baselines.baseline_model import load_baseline
    from cellflow.inference.predict import load_model

    if is_baseline_folder(folder):
        return load_baseline(folder, device, say=say).predict
    return load_model(folder, device=device).predict


def _as_detections(prediction: Prediction) -> Detections:
    kind = prediction.cell_type
    return Detections(
        name=prediction.name,
        masks=labels_to_masks(prediction.labels),
        scores=prediction.scores.astype(np.float32),
        cell_types=None if kind is None else (kind,) * len(prediction.scores),
    )
