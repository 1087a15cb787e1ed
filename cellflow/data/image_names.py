"""What the numbers in a result file stand for: image ids to names, category ids to cell types.

A file of one of three forms tells: a COCO file with ``images`` (and ``categories``), a JSON object
``{"17": "a.png", …}``, or a CSV with the columns ``id,file_name``.
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
"""Of an id that is written as a number: those of 64 bits, signed."""


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

    def ids(self) -> dict[str, int | str]:
        """Give the id of each name, a whole number where it is one of 64 bits.

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
    """Names of images by whatever a file calls them.

    Parameters
    ----------
    known : collection of str
        The names of the images that are asked for.
    names : ImageNames, optional
        What ids stand for; what it does not have must itself be a name.
    """

    def __init__(self, known: Collection[str], names: ImageNames | None) -> None:
        self.unknown: dict[str, None] = {}
        self._known, self._names = known, names
        self._by_number = _names_by_number(known)
        self._found: dict[str | int, str | None] = {}

    def find(self, image_id: str | int, where: str) -> str | None:
        """Give the name; None, and a note in `unknown`, for images that are not asked for.

        Parameters
        ----------
        image_id : str or int
            Stands for a name, or is a name, a file name, or the number that a name of digits is.
            A text that is a name is that name, even where it is an id too; a number is first an id.
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


def _is_number(text: str) -> bool:
    """Tell whether a text is how a whole number is written, without zeros before it."""
    is_short = text == _number(text) and len(text) <= MOST_DIGITS
    return is_short and int(text) <= LARGEST_ID


def _number(text: str) -> str | None:
    """Give the whole number that a text of digits is, without zeros before it."""
    return (text.lstrip("0") or "0") if text.isascii() and text.isdecimal() else None


def _names_by_number(names: Collection[str]) -> dict[str, str]:
    """Give names of digits by the number that they are, as far as no two are the same."""
    found: dict[str, str | None] = {}
    for name in names:
        if (number := _number(name)) is not None:
            found[number] = None if number in found else name
    return {number: name for number, name in found.items() if name is not None}
