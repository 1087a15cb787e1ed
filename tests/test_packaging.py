"""The wheel holds what an installation needs, under names that collide with nobody's."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("cellflow", "cli", "data_manifests", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build it from a copy, since building leaves files behind."""
    pytest.importorskip("setuptools")
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = ROOT / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    command = [
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
        "-q", "-w", source / "dist", source,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, cwd=source)
    (path,) = (source / "dist").glob("*.whl")
    return path


def test_every_module_and_data_file_is_inside(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {
        target + "/" + path.relative_to(ROOT / source).as_posix()
        for source, target, pattern in (
            ("cellflow", "cellflow", "*.py"),
            ("cellflow/experiments", "cellflow/experiments", "*.toml"),
            ("cellflow/report", "cellflow/report", "*.html"),
            ("cellflow/report", "cellflow/report", "*.css"),
            ("cellflow/report", "cellflow/report", "*.js"),
            ("cli", "cellflow_cli", "*.py"),
            ("data_manifests", "cellflow_data_manifests", "*.json"),
        )
        for path in (ROOT / source).rglob(pattern)
    }
    assert expected | {"cellflow/py.typed"} <= inside


def test_no_general_name_is_installed(wheel):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    packages = {name for name in top if not name.endswith(".dist-info")}
    assert packages == {"cellflow", "cellflow_cli", "cellflow_data_manifests"}


def test_the_command_runs_from_the_wheel_alone(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.argv = ['cellflow', 'check', '--manifest', 'x', '.']; import cellflow_cli"
    )
    code += "; print(cellflow_cli.__file__); cellflow_cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path))
    assert "error: no manifest 'x'; known: dsb2018" in done.stderr
