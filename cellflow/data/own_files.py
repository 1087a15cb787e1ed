"""Which files `export` wrote and nobody changed since, so that no one's work is replaced unasked.

A correction in the Cellpose GUI, ImageJ or napari writes a file anew, without our mark. The
`_seg.npy` holds a hash of its masks besides, since scripts change it in place.
"""

import struct
import zipfile
from pathlib import Path

import tifffile

from cellflow._version import PROGRAM
from cellflow.data.cell_tables import CELL_COLUMNS, COUNT_COLUMNS
from cellflow.data.seg_files import is_own_seg
from cellflow.data.submission import COLUMNS
from cellflow.errors import LabelError

MARK = PROGRAM.partition(" ")[0]
"""How the program's name in a label TIFF and the comment of a zip begin, whatever the version."""
HEADERS = tuple(",".join(columns) for columns in (COLUMNS, CELL_COLUMNS, COUNT_COLUMNS))
"""First lines of the tables that predictions write."""
_BROKEN = (zipfile.BadZipFile, tifffile.TiffFileError, struct.error)


def is_own(path: Path) -> bool:
    """Tell whether a file may be replaced by another prediction.

    Parameters
    ----------
    path : Path
        A label TIFF, ``_seg.npy`` or zip of regions: of ours unless somebody else wrote it. A table
        is when it is a submission, or one of cells or counts, whoever wrote it; a ``.json`` when it
        is a list, as COCO results are. An empty file holds nobody's work.
    """
    suffix = path.suffix.lower()
    try:
        if path.stat().st_size == 0:
            return True
        if suffix == ".npy":
            return is_own_seg(path)
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.comment.startswith(MARK.encode())
        if suffix == ".csv":
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                return file.readline(400).strip() in HEADERS
        if suffix == ".json":
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                return file.read(200).lstrip()[:1] == "["
        with tifffile.TiffFile(path) as file:
            return file.pages.first.software.startswith(MARK)
    except (*_BROKEN, OSError, LabelError, ValueError, LookupError):
        return False
