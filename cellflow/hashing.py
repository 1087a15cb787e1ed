"""Hashes of files."""

import hashlib
from pathlib import Path

from cellflow.errors import DataError


def hash_file(path: Path | str) -> str:
    """Give the SHA-256 of a file's content, hexadecimal; the file is read in chunks.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
