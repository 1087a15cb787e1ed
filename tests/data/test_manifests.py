"""Manifests: each is complete, and a copy that differs is told file by file."""

import hashlib
import json

import pytest

from cellflow.data.manifests import manifest_names, read_manifest, verify_download
from cellflow.errors import ManifestError


def test_the_data_sets_of_the_project_have_one_each():
    assert manifest_names() == [
        "dsb2018", "livecell", "sartorius", "sartorius_semi_supervised", "synthetic_demo",
        "usiigaci",
    ]  # fmt: skip
    for name in manifest_names():
        manifest = read_manifest(name)
        assert manifest.title
        assert manifest.licence
        assert manifest.source
        assert manifest.file_sets
        assert all(files.role for files in manifest.file_sets)


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "train").mkdir()
    for name in "ab":
        (tmp_path / f"train/{name}.png").write_text(name)
    (tmp_path / "train.csv").write_text("id\n1\n2\n")
    content = {
        "title": "T", "licence": "L", "source": "S", "note": "N",
        "files": [
            {"pattern": "train/*.png", "role": "train", "count": 2},
            {"pattern": "train.csv", "role": "truth", "rows": 2},
            {
                "pattern": "train/a.png", "role": "train",
                "sha256": hashlib.sha256(b"a").hexdigest(),
            },
        ],
    }  # fmt: skip
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    return tmp_path, read_manifest(str(path))


def test_a_whole_copy_has_no_differences(copy):
    folder, manifest = copy
    problems, found = verify_download(manifest, folder)
    assert problems == []
    assert found == {"train/*.png": 2, "train.csv": 1, "train/a.png": 1}


def test_every_difference_is_a_sentence(copy):
    folder, manifest = copy
    (folder / "train/b.png").unlink()
    (folder / "train/a.png").write_text("x")
    (folder / "train.csv").write_text("id\n1\n")
    problems, _ = verify_download(manifest, folder)
    assert len(problems) == 3
    assert problems[0] == "train/*.png: 1 files, expected 2"
    assert problems[1].endswith("train.csv: 1 rows, expected 2")
    assert "a.png: SHA-256 " in problems[2]
    (folder / "train/a.png").write_text("")
    (folder / "train.csv").unlink()
    problems, _ = verify_download(manifest, folder)
    assert any(problem.endswith("a.png: empty file") for problem in problems)
    assert "train.csv: missing" in problems


def test_unknown_and_broken_manifests_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="no manifest 'mnist'; known: dsb2018, livecell"):
        read_manifest("mnist")
    (tmp_path / "m.json").write_text('{"title": "T", "files": [{"patern": "x"}]}')
    with pytest.raises(ManifestError, match=r"is broken: .*patern"):
        read_manifest(str(tmp_path / "m.json"))
    for text in ("3", "\xff", '{"files": [{"pattern": null, "role": "x"}]}'):
        (tmp_path / "m.json").write_text(text, encoding="latin-1")
        with pytest.raises(ManifestError, match="is broken: "):
            read_manifest(str(tmp_path / "m.json"))
    with pytest.raises(ManifestError, match="no such folder"):
        verify_download(read_manifest("livecell"), tmp_path / "none")


def test_the_synthetic_demo_is_as_its_manifest_says(tmp_path):
    from cellflow.demo import N_TEST, N_TRAIN

    counts = {files.pattern: files.count for files in read_manifest("synthetic_demo").file_sets}
    assert counts["train/*.png"] == N_TRAIN
    assert counts["test/*.png"] == N_TEST
