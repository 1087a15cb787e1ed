"""`cellflow pseudo-label`: models and images reach the function, a summary goes to stdout."""

from types import SimpleNamespace

from cellflow.config import Config


def test_models_come_before_the_images(cellflow, competition, tmp_path, monkeypatch):
    seen = SimpleNamespace(models=[])

    def write(models, images, out, gates, report, say):
        seen.images, seen.out, seen.gates = [path.name for path in images], out, gates
        return {"n_images": 2, "n_cells": 9, "images_by_cell_type": {"cort": 2}}

    monkeypatch.setattr(
        "cellflow.inference.predict.load_model",
        lambda name, device, change: seen.models.append((name, change(Config()).dynamics.min_size)),
    )
    monkeypatch.setattr("cellflow.training.pseudo_labels.write_pseudo_labels", write)
    done = cellflow(
        "pseudo-label", "one", "two", competition / "train", "--out", tmp_path / "pseudo",
        "--per-type", 7, "--weight", 0.25, "--set", "dynamics.min_size=40",
    )  # fmt: skip
    assert (done.code, done.out) == (0, f"2 images with 9 cells (cort 2): {tmp_path / 'pseudo'}\n")
    assert seen.models == [("one", 40), ("two", 40)]
    assert sorted(seen.images) == ["a.png", "c.png", "d.png", "ä b.png"]
    assert (seen.gates.most_per_type, seen.gates.weight) == (7, 0.25)


def test_without_a_model_it_is_wrong_usage(cellflow, competition, tmp_path):
    assert cellflow("pseudo-label", competition, "--out", tmp_path / "pseudo").code == 2
