"""What the numbers in a result file stand for: image ids to names, category ids to cell types.

Read from a COCO file with ``images`` (and ``categories``), a JSON object ``{"17": "a.png", …}``, or
a CSV with the columns ``id,file_name``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cellflow.data.json_stream import iterate_json, starts_json_array
from cellflow.data.tables import open_table
from cellflow.errors import DataError

COLUMNS = ("id", "file_name")
MOST_DIGITS = 19
LARGEST_ID = 2**63 - 1
"""Of an id that is written as a number: a signed integer of 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNames:
    """What ids stand for.

    Parameters
    ----------
    source : Path
        For messages.
    names : mapping of str to str
        Id, as text, to the image's name: its file name without folder and suffix.
    categories : mapping of str to str
        Id, as text, to the category's name; empty if the file has no categories.
    """

    source: Path
    names: Mapping[str, str]
    categories: Mapping[str, str] = field(default_factory=dict)

    def ids(self) -> dict[str, int | str]:
        """Give the id of each name, as an int if it is a whole number of 64 bits.

        Raises
        ------
        DataError
            Two ids stand for images of one name.
        """
        found: dict[str, int | str] = {}
        for text, name in self.names.items():
            if name in found:
                raise DataError(f"{self.source}: image {name} has the ids {found[name]} and {text}")
            found[name] = int(text) if _is_number(text) else text
        return found


class NameFinder:
    """Finds the names of images from whatever a file calls them.

    Parameters
    ----------
    known : collection of str
        The names of the images that are asked for.
    names : ImageNames, optional
        What ids stand for; an id that it lacks must itself be a name.
    """

    def __init__(self, known: Collection[str], names: ImageNames | None) -> None:
        self.unknown: dict[str, None] = {}
        self._known, self._names = known, names
        self._by_number = _names_by_number(known)
        self._found: dict[str | int, str | None] = {}

    def find(self, image_id: str | int, where: str) -> str | None:
        """Give the name; images that are not asked for give None and are added to `unknown`.

        Parameters
        ----------
        image_id : str or int
            An id, a name, a file name, or the value of a name that consists of digits. A text that
            is both a name and an id is the name; a number is first of all an id.
        where : str
            For the message.

        Raises
        ------
        DataError
            There are `names`, and the id is neither in them nor a name.
        """
        if image_id not in self._found:
            is_name = isinstance(image_id, str) and image_id in self._known
            self._found[image_id] = (
                str(image_id) if is_name else self._look_up(str(image_id), where)
            )
        name = self._found[image_id]
        if name is None or name not in self._known:
            self.unknown.setdefault(name or str(image_id))
            return None
        return name

    def _look_up(self, text: str, where: str) -> str | None:
        if self._names is not None and text in self._names.names:
            return self._names.names[text]
        stem = Path(text).stem
        for name in (text, stem, self._by_number.get(text)):
            if name in self._known:
                return name
        if self._names is not None:
            raise DataError(f"{where}: image_id {text} is not in {self._names.source}")
        return None


def read_image_names(path: Path | str) -> ImageNames:
    """Read what ids stand for.

    Parameters
    ----------
    path : path
        COCO ``.json``, whose annotations are skipped and never held in memory; a JSON object of id
        to file name; or a ``.csv``.

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
            f"{path}: names no image; expected COCO's images, an object from id to file name, or "
            f"columns {', '.join(COLUMNS)}"
        )
    names: dict[str, str] = {}
    for number, file_name in images:
        if number in names:
            raise DataError(f"{path}: image id {number} appears twice")
        names[number] = Path(file_name).stem
    return ImageNames(source=path, names=names, categories=dict(categories))


def _text(item: Mapping[str, object], key: str, path: Path) -> str:
    value = item.get(key)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise DataError(f"{path}: expected {key} as a string or whole number, found {value!r}")
    return str(value)


def _is_number(text: str) -> bool:
    """Tell whether a text is a whole number of 64 bits, written without leading zeros."""
    is_short = text == _number(text) and len(text) <= MOST_DIGITS
    return is_short and int(text) <= LARGEST_ID


def _number(text: str) -> str | None:
    """Give a text of digits without leading zeros; None for other texts."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else None


def _names_by_number(names: Collection[str]) -> dict[str, str]:
    """Give names that consist of digits by their value, unless two have the same value."""
    found: dict[str, str | None] = {}
    for name in names:
        if (number := _number(name)) is not None:
            found[number] = None if number in found else name
    return {number: name for number, name in found.items() if name is not None}
