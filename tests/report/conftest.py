"""Two submissions to report on, and a browser to look at the report with."""

import os

import pytest
from chromium import Chromium, find_chromium
from hostile_competition import SUBMISSIONS, write_hostile_competition


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """See `write_hostile_competition`."""
    root = tmp_path_factory.mktemp("competition")
    write_hostile_competition(root)
    return root


@pytest.fixture(scope="session")
def submissions(folder):
    return [folder / name for name in SUBMISSIONS]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium; skips the test when there is none."""
    program = find_chromium()
    if program is None and os.environ.get("CELLFLOW_REQUIRE_BROWSER"):
        pytest.fail("CELLFLOW_REQUIRE_BROWSER is set, but there is no Chromium")
    if program is None:
        pytest.skip("no Chromium on the path")
    chromium = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()
