"""`Prediction` to the files of other programs; each is written whole or not at all.

===============  ==========================================================
``*.csv``        the competition's submission
``*.json``       COCO results, one entry a cell with its score; the
                 ``image_id`` is the image's name, or what a file of ids says
``*.zip``        ImageJ regions of one image
folder, ``tif``  one label TIFF an image
folder, ``seg``  one ``_seg.npy`` an image, as the Cellpose GUI opens it
folder, ``roi``  one ImageJ zip an image
===============  ==========================================================
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cellflow.atomic import atomic_path
from cellflow.data.coco_rle import masks_to_counts
from cellflow.data.image_names import ImageNames
from cellflow.data.imagej_rois import write_rois
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import labels_to_masks
from cellflow.data.seg_files import write_seg
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError
from cellflow.jsontext import to_json
from cellflow.records import Prediction

FolderFormat = Literal["tif", "seg", "roi"]
ENDINGS: dict[str, str] = {"tif": "_masks.tif", "seg": "_seg.npy", "roi": "_rois.zip"}
"""What follows the image's name in a file name."""
SUFFIXES = (".csv", ".json", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A prediction and the image file that it is of."""

    prediction: Prediction
    image_path: Path


def check_target(path: Path, folder_format: str, n_images: int) -> None:
    """Refuse an output that could not be written, before any long work.

    Raises
    ------
    ConfigError
        An unknown suffix or format, or regions of several images for one zip file.
    """
    if path.suffix.lower() not in SUFFIXES and path.exists() and not path.is_dir():
        raise ConfigError(f"--out {path}: is a file, expected a folder or {', '.join(SUFFIXES)}")
    if path.suffix and path.suffix.lower() not in SUFFIXES and not path.is_dir():
        raise ConfigError(
            f"--out {path}: expected {', '.join(SUFFIXES)} or a folder, found {path.suffix}"
        )
    if folder_format not in ENDINGS:
        raise ConfigError(f"--as {folder_format}: expected one of {', '.join(ENDINGS)}")
    if path.suffix.lower() == ".zip" and n_images > 1:
        raise ConfigError(
            f"--out {path}: a zip holds the regions of one image, but there are {n_images}; "
            "use --out FOLDER --as roi"
        )


def export(
    path: Path | str,
    found: Iterable[Found],
    folder_format: FolderFormat = "tif",
    image_names: ImageNames | None = None,
) -> None:
    """Write predictions in the format that `path` asks for.

    Parameters
    ----------
    path : path
        File with a known suffix, or a folder.
    found : iterable of Found
        Iterated once.
    folder_format : {"tif", "seg", "roi"}
        If `path` is a folder.
    image_names : ImageNames, optional
        The ids of images and cell types in COCO results; by default the image's name and 1.

    Raises
    ------
    DataError
        `image_names` has no id for an image, or two; `Outputs.check` finds that out earlier.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_submission(
            path, ((one.prediction.name, labels_to_masks(one.prediction.labels)) for one in found)
        )
    elif suffix == ".json":
        _write_coco_results(path, found, image_names)
    elif suffix == ".zip":
        for one in found:
            write_rois(path, one.prediction.labels)
    else:
        path.mkdir(parents=True, exist_ok=True)
        for one in found:
            _write_into(path, one, folder_format)


def files_there(path: Path, folder_format: FolderFormat, names: Iterable[str]) -> list[Path]:
    """Give the files that predictions of the images `names` would replace."""
    if path.suffix.lower() in SUFFIXES:
        targets = [path]
    else:
        targets = [path / (name + ENDINGS[folder_format]) for name in names]
    return [target for target in targets if target.is_file()]


def files_of_other_images(
    path: Path, folder_format: FolderFormat, names: Iterable[str]
) -> list[Path]:
    """Give the files of a folder in `folder_format` that are of images not among `names`."""
    if path.suffix.lower() in SUFFIXES or not path.is_dir():
        return []
    ending = ENDINGS[folder_format]
    own = {name + ending for name in names}
    return sorted(file for file in path.glob(f"[!.]*{ending}") if file.name not in own)


def _write_into(folder: Path, one: Found, folder_format: FolderFormat) -> None:
    labels = one.prediction.labels
    target = folder / (one.prediction.name + ENDINGS[folder_format])
    if folder_format == "tif":
        write_label_tiff(target, labels)
    elif folder_format == "seg":
        write_seg(target, labels, one.image_path)
    else:
        write_rois(target, labels)


def _write_coco_results(path: Path, found: Iterable[Found], names: ImageNames | None) -> None:
    """Write COCO's result list; one entry at a time, since it can be long."""
    ids: Mapping[str, int | str] = {} if names is None else names.ids()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        separator = "\n"
        for one in found:
            name = one.prediction.name
            if names is not None and name not in ids:
                raise DataError(f"{names.source}: has no id for {name}")
            masks = labels_to_masks(one.prediction.labels)
            size = list(masks.shape)
            scores = one.prediction.scores[one.prediction.numbers - 1]
            for counts, score in zip(masks_to_counts(masks), scores, strict=True):
                entry = {
                    "image_id": ids.get(name, name),
                    "category_id": _category(one.prediction.cell_type, names),
                    "segmentation": {"size": size, "counts": counts},
                    "score": round(float(score), 6),
                }
                file.write(separator + to_json(entry, indent=None))
                separator = ",\n"
        file.write("\n]\n")


def _category(cell_type: str | None, names: ImageNames | None) -> int:
    """Give the number of the cell type, or the lowest where the type is not known."""
    categories = {} if names is None else names.categories
    numbers = {name: int(text) for text, name in categories.items() if text.isdecimal()}
    return numbers.get(cell_type or "", min(numbers.values(), default=1))
