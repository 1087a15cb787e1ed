"""CSV files with a header, read as text and written whole.

On reading, spaces around names and values are dropped: ``id, predicted`` has the column
``predicted``.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cellflow.atomic import atomic_path
from cellflow.errors import DataError

MOST_NAMED = 300
"""Characters of column names that a message shows; a file that is no table may be one long line."""


class Table(csv.DictReader):  # type: ignore[type-arg]
    """Rows of a CSV file as mappings of column to text; refuses rows of another length."""

    def __next__(self) -> dict[str, str]:
        """Give the next row that is not blank."""
        row: dict[str, str] = super().__next__()
        if None in row or None in row.values():
            columns = len(self.fieldnames or ())
            raise csv.Error(
                f"expected {columns} fields, found "
                + (f"more than {columns}" if None in row else "fewer")
            )
        return {column: value.strip() for column, value in row.items()}


@contextmanager
def open_table(path: Path, required: tuple[str, ...]) -> Iterator[Table]:
    """Open a CSV file with a header for reading, and check that it has the columns.

    Parameters
    ----------
    path : Path
        UTF-8 with or without BOM, any line ends.
    required : tuple of str
        Columns that must be there; others may.

    Yields
    ------
    Table
        Goes over the rows; ``line_num`` is the line last read, counted from 1.

    Raises
    ------
    DataError
        The file is missing, is not UTF-8 text, lacks a column or has it twice, or has a row with
        too few or too many fields.
    """
    # An annotation of a cell that fills a large image is longer than csv's limit of 128 KiB.
    csv.field_size_limit(2**31 - 1)
    line = 0
    if path.is_dir():
        hint = f", such as {path / 'train.csv'}" if (path / "train.csv").exists() else ""
        raise DataError(f"{path}: is a folder; expected a .csv table" + hint)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = Table(file)
            columns = table.fieldnames = [name.strip() for name in table.fieldnames or []]
            missing = [name for name in required if name not in columns]
            if missing:
                raise DataError(
                    f"{path}: missing column {', '.join(missing)}; found {_describe(columns)}"
                )
            twice = [name for name in required if list(columns).count(name) > 1]
            if twice:
                raise DataError(f"{path}: column {twice[0]} appears twice")
            try:
                yield table
            finally:
                line = table.line_num
    except csv.Error as error:
        raise DataError(f"{path} line {line}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text (after line {line}); save the table as CSV in UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def write_table(path: Path | str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with a header, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _describe(columns: Sequence[str]) -> str:
    """Name the columns that are there, and the wrong separator if that is the cause."""
    if len(columns) == 1:
        for sign, name in ((";", "semicolons"), ("\t", "tabs")):
            if sign in columns[0]:
                return f"one column, with {name} in its name; columns are separated by commas"
    named = ", ".join(columns) or "an empty file"
    return named if len(named) <= MOST_NAMED else f"{named[:MOST_NAMED]} … (not a table of cells?)"
