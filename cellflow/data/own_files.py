"""Which files `export` wrote and nobody has changed, so that nobody's work is replaced unasked.

The Cellpose GUI, ImageJ and napari save corrections without our mark. A ``_seg.npy`` also holds a
hash of its masks, since scripts may change it in place.
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
        A label TIFF, ``_seg.npy`` or zip of regions may be if we wrote it and nobody changed it; a
        table if it is a submission, or one of cells or counts, whoever wrote it; a ``.json`` if it
        is a list, as COCO results are; an empty file always.
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
