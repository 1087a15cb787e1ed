"""Where the images of a report lie: image name to file."""

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
        Image files, or folders that `open_dataset` knows; of the competition's folder the test
        images too.

    Raises
    ------
    DataError
        A source does not exist, is a folder without images, or has another file than an earlier
        one for an image.
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
    """Give the sources of images that truth brings along.

    Parameters
    ----------
    truth : Path
        A folder of annotated images is its own source; a table has the folder beside it that bears
        its name, if there is one, as ``train/`` beside ``train.csv``.
    """
    if truth.is_dir():
        return [truth]
    folder = truth.with_suffix("")
    return [folder] if folder.is_dir() else []


def require_some(pictures: dict[str, Path], wanted: Sequence[str]) -> None:
    """Refuse pictures of which none is wanted.

    Raises
    ------
    DataError
        Names the first of both.
    """
    if not pictures.keys() & set(wanted):
        raise DataError(
            f"--images: none of the {len(pictures)}, such as {next(iter(pictures), 'none')}, is "
            f"one of the {len(wanted)} images of the report, such as {wanted[0]}"
        )
