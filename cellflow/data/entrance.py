"""The entrance for all data: recognises the layout of a folder, and says what it found."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cellflow.data.coco import open_coco
from cellflow.data.dataset import Dataset
from cellflow.data.folders import (
    open_cellpose_pairs,
    open_dsb2018,
    open_image_mask_folders,
    open_images,
    open_usiigaci,
)
from cellflow.data.json_stream import starts_json_array
from cellflow.data.kaggle import open_kaggle
from cellflow.errors import ConfigError, DataError
from cellflow.wording import counted

Opener = Callable[[Path, list[str] | None], Dataset | None]

NEEDS = {
    "kaggle": "train.csv and train/*.png",
    "coco": "a COCO .json with the images beneath the folder",
    "folders": "images/x.png and masks/x.png",
    "dsb2018": "<id>/images/*.png and <id>/masks/*.png",
    "usiigaci": "<set>/raw.tif and <set>/instances_ids.png",
    "cellpose": "x.tif and x_masks.tif, or x_seg.npy",
    "images": "images alone, without truth",
}
"""Every layout and what it consists of, in the order in which they are tried."""


def open_dataset(
    path: Path | str, layout: str | None = None, faults: list[str] | None = None
) -> Dataset:
    """Open a folder of images and truth.

    Parameters
    ----------
    path : path
        A folder; for COCO also the JSON file itself.
    layout : str, optional
        One of `NEEDS`; recognised when not given. The first in that order wins, and a folder that
        only holds images is opened without truth.
    faults : list of str, optional
        Gets a sentence for every broken annotation of a table or a COCO file, which is then left
        out; without the list the first one is raised.

    Returns
    -------
    Dataset
        Its images are not read yet.

    Raises
    ------
    DataError
        The folder is missing or empty, or is not of the layout.
    ConfigError
        An unknown layout.
    """
    path = Path(path)
    if layout is not None and layout not in NEEDS:
        raise ConfigError(f"unknown layout {layout!r}; known: {', '.join(NEEDS)}")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if not path.is_dir() and path.suffix.lower() != ".json":
        raise DataError(f"{path}: expected a folder, or a COCO .json file")
    for name in NEEDS if layout is None else [layout]:
        dataset = _OPENERS[name](path, faults)
        if dataset is not None:
            return dataset
    if layout is not None:
        raise DataError(f"{path} does not have the layout {layout}, which needs {NEEDS[layout]}")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path}: the folder is empty; expected images, with truth for training")
    if path.is_file() and starts_json_array(path):
        raise DataError(
            f"{path}: a list, as COCO results are, and no truth; `cellflow score` reads those"
        )
    needs = "; ".join(f"{name}: {need}" for name, need in NEEDS.items())
    raise DataError(f"{path}: no images with truth found. Layouts: {needs}")


def open_annotated(path: Path | str, layout: str | None = None) -> Dataset:
    """Open a folder to learn from its truth.

    Parameters
    ----------
    path, layout
        As for `open_dataset`.

    Raises
    ------
    DataError
        As `open_dataset`; or no image has truth.
    ConfigError
        An unknown layout.
    """
    dataset = open_dataset(path, layout)
    if not dataset.annotated:
        raise DataError(
            f"{path}: {counted(len(dataset), 'image')}, none with truth ({dataset.layout} layout); "
            "annotated images are needed, see `cellflow check`"
        )
    return dataset


def describe(dataset: Dataset) -> str:
    """Give one sentence that says what was found.

    Examples
    --------
    >>> describe(Dataset(root=Path("x"), layout="images", entries=()))
    'x: images layout, 0 images, 0 annotated'
    """
    text = (
        f"{dataset.root}: {dataset.layout} layout, {counted(len(dataset), 'image')}, "
        f"{len(dataset.annotated)} annotated"
    )
    kinds = Counter(entry.cell_type for entry in dataset if entry.cell_type)
    if kinds:
        text += ": " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return text


def _kaggle(path: Path, faults: list[str] | None) -> Dataset | None:
    is_one = path.is_dir() and (path / "train.csv").exists() and (path / "train").is_dir()
    return open_kaggle(path, faults) if is_one else None


def _folder_only(opener: Callable[[Path], Dataset | None]) -> Opener:
    # Their truth has a file for each image or cell and is read later, so there are no faults yet.
    return lambda path, faults: opener(path) if path.is_dir() else None


_OPENERS: dict[str, Opener] = {
    "kaggle": _kaggle,
    "coco": open_coco,
    "folders": _folder_only(open_image_mask_folders),
    "dsb2018": _folder_only(open_dsb2018),
    "usiigaci": _folder_only(open_usiigaci),
    "cellpose": _folder_only(open_cellpose_pairs),
    "images": _folder_only(open_images),
}
