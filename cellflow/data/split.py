"""Stacks, such as time series, as separate pictures, which is what all commands take."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from cellflow.atomic import atomic_path, check_outputs
from cellflow.data.images import IMAGE_ENDING, MASK_ENDINGS, TIFF_SUFFIXES, naming_broken
from cellflow.data.label_files import is_label_image
from cellflow.data.tiff import read_planes
from cellflow.errors import ConfigError, ImageError
from cellflow.telling import Report, ignore
from cellflow.wording import counted, some_of


def split_stacks(
    paths: Sequence[Path],
    folder: Path,
    *,
    overwrite: bool = False,
    report: Report = ignore,
) -> list[Path]:
    """Write every plane of TIFF stacks as a file of its own.

    Parameters
    ----------
    paths : sequence of path
        TIFF files of several planes each. Those whose names end as label images do
        (``x_masks.tif``) are read as labels.
    folder : path
        Where the files go; made if it is missing.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    list of path
        Such as ``x_t03_z1.tif`` for time 3 and depth 1 of ``x.tif``, ``x_3.tif`` if the axis has no
        name, and ``x_t03_masks.tif`` for labels, so that pictures and labels find each other.

    Raises
    ------
    ImageError
        A file is missing, broken, no TIFF, or holds one picture.
    ConfigError
        Files are there, two stacks have one name, or a stack would be replaced by a plane.
    DataError
        The folder cannot be written to.

    Notes
    -----
    Grey levels are as `read_image` gives them; of a plane's channels all are kept. The size of a
    pixel is not, nor are pictures of another size than the first, such as thumbnails. After an
    error or Ctrl-C no new file is left, so that the same call can be made again.
    """
    planned = [folder / name for path in paths for name, _ in _planes(path)]
    check_outputs(paths, planned)
    there = {file for file in planned if file.exists()}
    if there and not overwrite:
        names = some_of(sorted(file.name for file in there))
        raise ConfigError(
            f"--out {folder}: holds {counted(len(there), 'file')} of these names already "
            f"({names}); choose another folder, or --overwrite"
        )
    planes = (plane for path in paths for plane in _planes(path))
    try:
        for step, (name, picture) in enumerate(planes, 1):
            _write(folder / name, picture)
            report(step, {"total": len(planned)})
    except BaseException:
        for file in set(planned) - there:
            file.unlink(missing_ok=True)
        raise
    return planned


def _planes(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give the file name and the picture of every plane."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise ImageError(f"{path}: expected a TIFF stack; other files hold one picture")
    endings = sorted((*MASK_ENDINGS, IMAGE_ENDING), key=len, reverse=True)
    ending = next((ending for ending in endings if path.stem.endswith(ending)), "")
    stem = path.stem.removesuffix(ending)
    with naming_broken(path):
        for place, picture in read_planes(path, as_stored=is_label_image(path)):
            yield f"{stem}_{place}{ending}.tif", picture


def _write(path: Path, picture: NDArray[Any]) -> None:
    axes = "YX" if picture.ndim == 2 else "CYX"
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            picture,
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": axes},
        )
