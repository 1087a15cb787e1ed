"""What any tool wrote, to `Detections` by image name.

==========================  ===============================================================
``*.csv``                   a submission of the competition
``*.json``                  COCO results: Detectron2, mmdet, torchvision, Ultralytics, ours
``*_seg.npy``               the cells of one image, as Cellpose's GUI saves them
a folder of label images    ``x.tif``, ``x.png``, ``x_masks.tif`` …, or ``x_seg.npy``
a model or baseline folder  its predictions, made now, on images that are given
==========================  ===============================================================
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.data.coco_results import read_coco_results
from cellflow.data.image_names import ImageNames, read_image_names
from cellflow.data.images import find_images, read_image
from cellflow.data.label_files import SEG_ENDING, list_label_files, read_seg_masks
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError, LabelError, ModelError, SubmissionError
from cellflow.jsontext import read_object
from cellflow.records import CellMasks, Detections, Prediction, Shape
from cellflow.telling import Report, Say
from cellflow.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MethodOutput:
    """What one method found.

    Parameters
    ----------
    name : str
    kind : str
        What it was read from, in words.
    detections : mapping of image name to Detections
        Of the images that the method was run on, with or without cells.
    lists_empty : bool
        Whether an image on which nothing was found would be among them; a list of results has no
        place for it.
    remarks : tuple of str
        What was noticed while reading.
    """

    name: str
    kind: str
    detections: Mapping[str, Detections]
    lists_empty: bool = True
    remarks: tuple[str, ...] = ()

    @property
    def has_scores(self) -> bool:
        """Whether the detections carry scores."""
        return any(one.scores is not None for one in self.detections.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What some kinds of entries need beside themselves.

    Parameters
    ----------
    image_names : ImageNames or None
        What ids in COCO results stand for.
    images : tuple of Path
        Files and folders of pictures, for model folders.
    device : str
        For model folders; as for `choose_device`.
    report : callable
        Called with the number of images that a model has done.
    """

    image_names: ImageNames | None = None
    images: tuple[Path, ...] = ()
    device: str = "auto"
    report: Report = lambda step, numbers: None


Shapes = Mapping[str, Shape]
"""Height and width of the images wanted, by name."""


def names_from_truth(sources: Sources | None, truth: Path | str) -> Sources:
    """Take what ids stand for from a COCO truth, when nothing else tells it.

    Its categories are left aside: whether a model kept their numbers is not known.
    """
    sources = sources or Sources()
    if sources.image_names is not None or Path(truth).suffix.lower() != ".json":
        return sources
    return replace(sources, image_names=replace(read_image_names(truth), categories={}))


def require_models(paths: Sequence[Path | str], images: Sequence[Path]) -> None:
    """See that pictures are given for something: a model folder is among what is read.

    Raises
    ------
    ConfigError
        None is, so that the pictures would be left aside without a word.
    """
    if images and not any(_is_model(Path(path)) for path in paths):
        raise ConfigError(
            f"--images {images[0]}: for model folders, of which there is none among "
            f"{', '.join(Path(path).name for path in paths)}, and for --report FILE"
        )


def read_outputs(
    paths: Sequence[Path | str], shapes: Shapes, sources: Sources | None = None
) -> list[MethodOutput]:
    """Read what several methods found; each is named by its file, with its folder if need be.

    Raises
    ------
    DataError, LabelError, RleError, SubmissionError, ModelError
        One cannot be read, is of no known kind, is for images of another size, or is given twice.
    """
    files = [Path(path) for path in paths]
    for number, path in enumerate(files):
        if path in files[:number]:
            raise SubmissionError(f"{path} is given twice; it would be compared with itself")
    stems = [_stem(path) for path in files]
    return [
        read_output(path, shapes, stem if stems.count(stem) == 1 else str(path), sources)
        for path, stem in zip(files, stems, strict=True)
    ]


def read_output(
    path: Path, shapes: Shapes, name: str, sources: Sources | None = None
) -> MethodOutput:
    """Read what one method found, recognised by its suffix and what a folder holds.

    Parameters
    ----------
    path : path
        See above.
    shapes : mapping of image name to (H, W)
        The images wanted. Of others that a method was run on only the names are given.
    name : str
        How to call it.
    sources : Sources, optional

    Raises
    ------
    As `read_outputs`.
    """
    sources = sources or Sources()
    suffix = path.suffix.lower()
    if path.is_dir():
        if _is_model(path):
            return _predicted(path, shapes, name, sources)
        return _labels(path, shapes, name)
    if suffix == ".csv":
        masks = read_submission(path, shapes)
        return MethodOutput(name=name, kind="submission", detections=_without_scores(masks))
    if suffix == ".json":
        results = read_coco_results(path, shapes, sources.image_names)
        return MethodOutput(
            name=name,
            kind="COCO results",
            detections=results.detections,
            lists_empty=results.lists_empty,
            remarks=results.remarks,
        )
    if path.name.endswith(SEG_ENDING):
        image = path.name.removesuffix(SEG_ENDING)
        masks = {image: read_seg_masks(path)}
        _check_sizes(masks, shapes, path)
        return MethodOutput(name=name, kind="_seg.npy", detections=_without_scores(masks))
    raise DataError(
        f"{path}: expected a submission .csv, COCO results .json, a {SEG_ENDING}, a folder of "
        "label images, or a model folder"
    )


def _labels(folder: Path, shapes: Shapes, name: str) -> MethodOutput:
    readers = list_label_files(folder)
    if not readers:
        raise DataError(f"{folder}: neither label images, {SEG_ENDING} files nor a model in it")
    # What is not wanted is not read, but known to be there.
    masks = {
        image: read() if image in shapes else CellMasks.empty((1, 1))
        for image, read in readers.items()
    }
    _check_sizes(masks, shapes, folder)
    kind = "_seg.npy" if any(folder.glob(f"*{SEG_ENDING}")) else "label images"
    return MethodOutput(name=name, kind=kind, detections=_without_scores(masks))


def _predicted(folder: Path, shapes: Shapes, name: str, sources: Sources) -> MethodOutput:
    if not sources.images:
        raise SubmissionError(f"{folder} is a model; --images tells which images it is to predict")
    pictures = _pictures(sources.images, shapes)
    wanted = [image for image in shapes if image in pictures]
    if not wanted:
        raise SubmissionError(
            f"none of the {counted(len(pictures), 'image')} is one of the truth; the first is "
            f"{next(iter(pictures))}, the truth has {next(iter(shapes))}"
        )
    full: list[str] = []
    predict = _load_model(folder, sources.device, full.append)
    detections = {}
    for done, image in enumerate(wanted):
        detections[image] = _as_detections(predict(read_image(pictures[image]), image))
        sources.report(done + 1, {"total": len(wanted)})
    _check_sizes({image: one.masks for image, one in detections.items()}, shapes, folder)
    return MethodOutput(
        name=name,
        kind="model",
        detections=detections,
        remarks=(*_learnt_remarks(folder, name, wanted), *_limit_remarks(name, full)),
    )


def _pictures(sources: Sequence[Path], shapes: Shapes) -> dict[str, Path]:
    """Give the pictures by image name; of a wanted image there may be but one."""
    pictures: dict[str, Path] = {}
    for path in find_images(sources):
        other = pictures.setdefault(path.stem, path)
        if path.stem in shapes and other.resolve() != path.resolve():
            raise DataError(f"--images: {other} and {path} are both image {path.stem}")
    return pictures


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


def _limit_remarks(name: str, full: Sequence[str]) -> list[str]:
    """Warn of a detector that stopped at as many cells as it may list."""
    if not full:
        return []
    return [f"{name} has as many cells as it may list on {counted(len(full), 'image')}: {full[0]}"]


def _load_model(folder: Path, device: str, say: Say) -> Callable[[NDArray[Any], str], Prediction]:
    """Give the prediction of a model folder of cellflow's own, or of a trained baseline."""
    # Only here is torch needed, which takes more than a second to import.
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


def _without_scores(masks: Mapping[str, CellMasks]) -> dict[str, Detections]:
    return {image: Detections(name=image, masks=found) for image, found in masks.items()}


def _check_sizes(masks: Mapping[str, CellMasks], shapes: Shapes, path: Path) -> None:
    for image, found in masks.items():
        if image in shapes and found.shape != shapes[image]:
            here, there = found.shape, shapes[image]
            raise LabelError(
                f"{path}: image {image} is {here[0]}x{here[1]}, its truth {there[0]}x{there[1]}"
            )


def _is_model(folder: Path) -> bool:
    from cellflow.baselines.baseline_folder import is_baseline_folder
    from cellflow.network.model_folder import CONFIG

    return (folder / CONFIG).is_file() or is_baseline_folder(folder)


def _stem(path: Path) -> str:
    return path.name.removesuffix(SEG_ENDING) if path.name.endswith(SEG_ENDING) else path.stem
