"""What a model or baseline folder finds in given pictures, and which of them it knows already."""

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

# Torch takes more than a second to import, so what needs it is imported where it is used.


def is_model(folder: Path) -> bool:
    """Tell whether a folder is a trained model of cellflow's, or a trained baseline."""
    from cellflow.baselines.baseline_folder import is_baseline_folder
    from cellflow.network.model_folder import CONFIG

    return (folder / CONFIG).is_file() or is_baseline_folder(folder)


def find_pictures(sources: Sequence[Path], wanted: Collection[str]) -> dict[str, Path]:
    """Give the files of the wanted images, by image name in the order of `wanted`.

    Raises
    ------
    DataError
        Two files are of one wanted image.
    SubmissionError
        None is of a wanted image.
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
    """Run a model or a baseline over pictures.

    Parameters
    ----------
    folder : Path
        Of the model.
    pictures : mapping of image name to Path
    name : str
        What remarks call the model.
    device : str
        As for `choose_device`.
    report : callable
        ``report(step, numbers)`` after every image; numbers hold ``total``.

    Returns
    -------
    detections : dict of image name to Detections
    remarks : tuple of str
        Which pictures the model was trained on or chosen by, and where it reached its limit of
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
    """Warn of images that a model's record says it was trained on, or chosen by."""
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
    """Give what of a model was chosen by scores, and the images whose scores they were."""
    from cellflow.network.model_folder import held_out_images
    from cellflow.network.thresholds import THRESHOLDS, read_thresholds

    held_out, run = held_out_images(record), record.get("run")
    choices: dict[str, set[str]] = {}
    if isinstance(run, Mapping) and run.get("kept") == "best":
        choices["its weights among those of all validations"] = held_out
    if isinstance(run, Mapping) and run.get("patience") is not None:
        choices["when its training ended"] = held_out
    if (folder / THRESHOLDS).is_file() and (provenance := read_thresholds(folder).provenance):
        # A file of before the names were kept was most likely tuned on these.
        choices["its thresholds"] = set(provenance.images) or held_out
    return choices


def _load_model(folder: Path, device: str, say: Say) -> Callable[[NDArray[Any], str], Prediction]:
    """Give the prediction of a model folder of cellflow's own, or of a trained baseline."""
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
