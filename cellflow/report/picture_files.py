"""Find the image files of a report, by image name."""

from collections.abc import Sequence
from pathlib import Path

from cellflow.data.entrance import open_dataset
from cellflow.data.images import list_images
from cellflow.errors import DataError


def find_pictures(sources: Sequence[Path]) -> dict[str, Path]:
    """Give the file of each image.

    Parameters
    ----------
    sources : sequence of Path
        Image files, or folders that `open_dataset` can read; of the competition's folder also the
        test images.

    Raises
    ------
    DataError
        A source does not exist, is a folder without images, or has a different file for an image
        than an earlier source.
    """
    pictures: dict[str, Path] = {}
    for source in sources:
        for name, path in _pictures_of(source).items():
            other = pictures.setdefault(name, path)
            if other.resolve() != path.resolve():
                raise DataError(f"--images: {other} and {path} are both image {name}")
    return pictures


def _pictures_of(source: Path) -> dict[str, Path]:
    if source.is_file() and source.suffix.lower() != ".json":
        return {source.stem: source}
    dataset = open_dataset(source)
    pictures = {entry.name: entry.image_path for entry in dataset}
    if dataset.layout == "kaggle" and (source / "test").is_dir():
        pictures |= {path.stem: path for path in list_images(source / "test")}
    return pictures


def beside_truth(truth: Path) -> list[Path]:
    """Give the sources of images that belong to a truth.

    Parameters
    ----------
    truth : Path
        A folder of annotated images is its own source; the source of a table is the folder of the
        same name beside it, if there is one, such as ``train/`` beside ``train.csv``.
    """
    if truth.is_dir():
        return [truth]
    folder = truth.with_suffix("")
    return [folder] if folder.is_dir() else []


def require_some(pictures: dict[str, Path], wanted: Sequence[str]) -> None:
    """Refuse pictures if none of them is wanted.

    Raises
    ------
    DataError
        No picture is wanted; the message names one picture and one wanted image.
    """
    if not pictures.keys() & set(wanted):
        raise DataError(
            f"--images: none of the {len(pictures)}, such as {next(iter(pictures), 'none')}, is "
            f"one of the {len(wanted)} images of the report, such as {wanted[0]}"
        )
