"""Data and model folders for tuning."""

import pytest
from played_models import Played, write_images


@pytest.fixture
def data(tmp_path):
    return write_images(tmp_path)


@pytest.fixture
def played(tmp_path, data, monkeypatch):
    return Played(tmp_path, data, monkeypatch)
