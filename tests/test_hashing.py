"""A file's hash is that of its content."""

import hashlib

import pytest

from cellflow.errors import DataError
from cellflow.hashing import hash_file


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000])
def test_the_hash_is_the_contents_sha_256(tmp_path, content):
    (tmp_path / "é").write_bytes(content)
    assert hash_file(tmp_path / "é") == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*none: No such file"):
        hash_file(tmp_path / "none")
