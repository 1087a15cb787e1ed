"""Label images of every folder of real data, for parity tests, read with little code."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageDraw

FOLDERS = (
    "cellpose_cyto3_reference",
    "cellpose_cyto_samples",
    "dsb2018",
    "livecell",
    "neurips_cellseg",
    "omnipose_bact_phase",
    "sartorius",
    "stardist_dsb_pair",
    "usiigaci_phase",
)


def label_images(data: Path, folder: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and labels, in a fixed order."""
    root = data / folder
    if folder == "cellpose_cyto3_reference":
        masks = np.fromfile(root / "cellpose_img_075.masks.bin", "<i4")
        yield "img_075", masks.reshape(300, 240)
    elif folder == "dsb2018":
        for image in sorted((root / "stage1_train").iterdir()):
            yield image.name, _from_mask_files(sorted((image / "masks").glob("*.png")))
    elif folder == "livecell":
        for file in sorted(root.rglob("livecell_coco_*.json")):
            yield from _from_polygons(file)
    elif folder == "sartorius":
        yield from _from_runs(root / "train.csv")
    else:
        for file in sorted(root.rglob("*")):
            if file.is_file() and any(word in file.name for word in ("mask", "_label.", "ids.")):
                yield file.name, _read(file)


def _read(file: Path) -> np.ndarray:
    if file.suffix == ".png":
        return imagecodecs.imread(file)
    return tifffile.imread(file)


def _from_mask_files(files: list[Path]) -> np.ndarray:
    labels = np.zeros(_read(files[0]).shape[:2], np.int32)
    for number, file in enumerate(files, 1):
        mask = _read(file)
        labels[(mask if mask.ndim == 2 else mask[..., 0]) > 0] = number
    return labels


def _from_polygons(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    annotations = content["annotations"]
    if isinstance(annotations, dict):
        annotations = list(annotations.values())
    for image in content["images"]:
        canvas = Image.new("I", (image["width"], image["height"]))
        own = [a for a in annotations if a["image_id"] == image["id"]]
        for number, annotation in enumerate(own, 1):
            for polygon in annotation["segmentation"]:
                ImageDraw.Draw(canvas).polygon(polygon, fill=number)
        yield image["file_name"], np.array(canvas, np.int32)


def _from_runs(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    images: dict[str, np.ndarray] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            shape = int(row["height"]), int(row["width"])
            flat = images.setdefault(row["id"], np.zeros(shape, np.int32)).reshape(-1)
            numbers = np.array(row["annotation"].split(), int).reshape(-1, 2)
            label = flat.max() + 1
            for start, length in numbers:
                flat[start - 1 : start - 1 + length] = label
    yield from images.items()
