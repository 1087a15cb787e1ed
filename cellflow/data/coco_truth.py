"""The annotations of a COCO file, without its pictures."""

from dataclasses import dataclass
from pathlib import Path

from cellflow.data.coco import (
    image_cell_types,
    read_annotations,
    read_coco,
    require_cells,
    type_in_name,
    well_in_name,
)
from cellflow.errors import DataError
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CocoImage:
    """One image of a COCO file, without its picture.

    Parameters
    ----------
    masks : CellMasks
    cell_type, group : str or None
        From the categories, or a LIVECell file name.
    """

    masks: CellMasks
    cell_type: str | None
    group: str | None


def read_coco_truth(path: Path, remarks: list[str] | None = None) -> dict[str, CocoImage]:
    """Read the annotations of a COCO file; its pictures need not be there.

    Parameters
    ----------
    path : path
    remarks : list of str, optional
        Gets a sentence for everything that was left out.

    Returns
    -------
    dict of image name to CocoImage
        The name is ``file_name`` without folder and suffix.

    Raises
    ------
    DataError
        Not a COCO file, two images have one name, or every annotation would be left out.
    LabelError, RleError
        A segmentation is broken; names the annotation.
    """
    content = read_coco(path)
    if content is None:
        raise DataError(f"{path}: not a COCO file: expected images and annotations")
    masks, left_out = read_annotations(content, path)
    require_cells(path, masks.values(), left_out)
    if remarks is not None:
        remarks += left_out
    kinds = image_cell_types(content, path)
    found: dict[str, CocoImage] = {}
    for image in content["images"]:
        name, number = Path(image["file_name"]).stem, str(image["id"])
        if name in found:
            raise DataError(f"{path}: two images are called {name}")
        found[name] = CocoImage(
            masks=masks[number],
            cell_type=kinds.get(number) or type_in_name(name),
            group=well_in_name(name),
        )
    return found
