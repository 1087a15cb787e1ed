"""What the numbers in a result file stand for: image ids to names, category ids to cell types.

A file of one of three forms tells: a COCO file with ``images`` (and ``categories``), a JSON object
``{"17": "a.png", …}``, or a CSV with the columns ``id,file_name``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cellflow.data.json_stream import iterate_json, starts_json_array
from cellflow.data.tables import open_table
from cellflow.errors import DataError

COLUMNS = ("id", "file_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNames:
    """The meaning of ids.

    Parameters
    ----------
    source : Path
        For messages.
    names : mapping of str to str
        Id, as text, to the image's name: its file's without folder and suffix.
    categories : mapping of str to str
        Id, as text, to the category's name; empty when the file tells nothing of categories.
    """

    source: Path
    names: Mapping[str, str]
    categories: Mapping[str, str] = field(default_factory=dict)


def read_image_names(path: Path | str) -> ImageNames:
    """Read what ids stand for.

    Parameters
    ----------
    path : path
        COCO ``.json``, of which annotations are passed over and never held; a JSON object of id to
        file name; or a ``.csv``.

    Raises
    ------
    DataError
        The file cannot be read, names no image, or has an id twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        return _made(path, _rows(path), [])
    if starts_json_array(path):
        raise DataError(f"{path}: expected a COCO file with images, found a list")
    images: list[tuple[str, str]] = []
    categories: list[tuple[str, str]] = []
    for key, item in iterate_json(path):
        if key == "images" and isinstance(item, dict):
            images.append((_text(item, "id", path), _text(item, "file_name", path)))
        elif key == "categories" and isinstance(item, dict):
            categories.append((_text(item, "id", path), str(item.get("name", "cell"))))
        elif isinstance(item, str) and key not in ("info", "images"):
            images.append((key, item))
    return _made(path, images, categories)


def _rows(path: Path) -> list[tuple[str, str]]:
    with open_table(path, COLUMNS) as table:
        return [(row["id"], row["file_name"]) for row in table]


def _made(
    path: Path, images: list[tuple[str, str]], categories: list[tuple[str, str]]
) -> ImageNames:
    if not images:
        raise DataError(
            f"{path}: names no image; expected COCO's images, an object of id to file name, or "
            f"columns {', '.join(COLUMNS)}"
        )
    names: dict[str, str] = {}
    for number, file_name in images:
        if number in names:
            raise DataError(f"{path}: image id {number} is there twice")
        names[number] = Path(file_name).stem
    return ImageNames(source=path, names=names, categories=dict(categories))


def _text(item: Mapping[str, object], key: str, path: Path) -> str:
    value = item.get(key)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise DataError(f"{path}: expected {key} as a text or a whole number, found {value!r}")
    return str(value)
