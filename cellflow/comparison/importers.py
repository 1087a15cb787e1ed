"""Read the output of any tool as `Detections` by image name.

==========================  ===============================================================
``*.csv``                   a submission of the competition
``*.json``                  COCO results: Detectron2, mmdet, torchvision, Ultralytics, ours
``*_seg.npy``               the cells of one image, as Cellpose's GUI saves them
a folder of label images    ``x.tif``, ``x.png``, ``x_masks.tif`` …, or ``x_seg.npy``
a model or baseline folder  its predictions, computed now, on the given images
==========================  ===============================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cellflow.comparison.model_predictions import find_wanted_pictures, is_model, predict_pictures
from cellflow.data.coco_results import read_coco_results
from cellflow.data.image_names import ImageNames, read_image_names
from cellflow.data.label_files import SEG_ENDING, list_label_files, read_seg_masks
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError, LabelError, SubmissionError
from cellflow.records import CellMasks, Detections, Shape
from cellflow.telling import Report, ignore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MethodOutput:
    """The cells that one method found.

    Parameters
    ----------
    name : str
    kind : str
        Kind of file that it was read from, in words.
    detections : mapping of image name to Detections
        Of the images that the method was run on, with or without cells.
    lists_empty : bool
        Whether `detections` includes images without cells; a list of results cannot.
    remarks : tuple of str
        What the user should know about the input, in sentences.
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
    """What some kinds of entries need besides their own file.

    Parameters
    ----------
    image_names : ImageNames or None
        The image names for the ids in COCO results.
    images : tuple of Path
        Image files and folders, for model folders.
    device : str
        For model folders; as for `choose_device`.
    report : callable
        Called with the number of images that a model has predicted.
    """

    image_names: ImageNames | None = None
    images: tuple[Path, ...] = ()
    device: str = "auto"
    report: Report = ignore


Shapes = Mapping[str, Shape]
"""Height and width of the images wanted, by name."""


def names_from_truth(sources: Sources | None, truth: Path | str) -> Sources:
    """Take the image names for ids from a COCO truth, unless `sources` has them.

    Its categories are ignored: a model may number them differently.
    """
    sources = sources or Sources()
    if sources.image_names is not None or Path(truth).suffix.lower() != ".json":
        return sources
    return replace(sources, image_names=replace(read_image_names(truth), categories={}))


def require_models(paths: Sequence[Path | str], images: Sequence[Path]) -> None:
    """Check that pictures, if given, are needed: that some path is a model folder.

    Raises
    ------
    ConfigError
        There are pictures but no model folder; they would be ignored silently.
    """
    if images and not any(is_model(Path(path)) for path in paths):
        raise ConfigError(
            f"--images {images[0]}: used only with a model folder or --report FILE; none of "
            f"{', '.join(Path(path).name for path in paths)} is a model folder"
        )


def read_outputs(
    paths: Sequence[Path | str], shapes: Shapes, sources: Sources | None = None
) -> list[MethodOutput]:
    """Read the cells of several methods; each is named after its file, with the folder if needed.

    Raises
    ------
    DataError, LabelError, RleError, SubmissionError, ModelError
        A path cannot be read, is of no known kind, is for images of another size, or is given
        twice.
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
    """Read the cells of one method; the kind is recognised by suffix, or by a folder's content.

    Parameters
    ----------
    path : path
        Of a kind listed at the top of this module.
    shapes : mapping of image name to (H, W)
        The wanted images. Other images are given by name only, without cells.
    name : str
        Name for the method.
    sources : Sources, optional

    Raises
    ------
    As `read_outputs`.
    """
    sources = sources or Sources()
    suffix = path.suffix.lower()
    if path.is_dir():
        if is_model(path):
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
    # Other images are listed but not read.
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
    detections, remarks = predict_pictures(
        folder,
        find_wanted_pictures(sources.images, shapes),
        name,
        device=sources.device,
        report=sources.report,
    )
    _check_sizes({image: one.masks for image, one in detections.items()}, shapes, folder)
    return MethodOutput(name=name, kind="model", detections=detections, remarks=remarks)


def _without_scores(masks: Mapping[str, CellMasks]) -> dict[str, Detections]:
    return {image: Detections(name=image, masks=found) for image, found in masks.items()}


def _check_sizes(masks: Mapping[str, CellMasks], shapes: Shapes, path: Path) -> None:
    for image, found in masks.items():
        if image in shapes and found.shape != shapes[image]:
            here, there = found.shape, shapes[image]
            raise LabelError(
                f"{path}: image {image} is {here[0]}x{here[1]}, its truth {there[0]}x{there[1]}"
            )


def _stem(path: Path) -> str:
    return path.name.removesuffix(SEG_ENDING) if path.name.endswith(SEG_ENDING) else path.stem
