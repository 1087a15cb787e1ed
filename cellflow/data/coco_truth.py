"""The annotations of a COCO file, without its pictures."""

from pathlib import Path

from cellflow.data.coco import (
    image_cell_types,
    read_annotations,
    read_coco,
    require_cells,
    type_in_name,
    well_in_name,
)
from cellflow.data.dataset import TrueImage
from cellflow.errors import DataError


def read_coco_truth(path: Path, remarks: list[str] | None = None) -> dict[str, TrueImage]:
    """Read the annotations of a COCO file; its pictures need not be there.

    Parameters
    ----------
    path : path
    remarks : list of str, optional
        Gets a sentence for everything that was left out.

    Returns
    -------
    dict of image name to TrueImage
        The name is ``file_name`` without folder and suffix; type and group are from the categories,
        or a LIVECell file name.

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
    found: dict[str, TrueImage] = {}
    for image in content["images"]:
        name, number = Path(image["file_name"]).stem, str(image["id"])
        if name in found:
            raise DataError(f"{path}: two images are called {name}")
        found[name] = TrueImage(
            masks=masks[number],
            cell_type=kinds.get(number) or type_in_name(name),
            group=well_in_name(name),
        )
    return found
