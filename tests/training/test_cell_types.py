"""At the end of a training with several cell types the model learns to tell them."""

import json
import time
from dataclasses import replace

import numpy as np
from competition_folder import write_competition_folder
from drawn_discs import draw_discs

from cellflow.data.dataset import Entry
from cellflow.inference.model import Model
from cellflow.inference.predict import load_model
from cellflow.network.model_folder import read_model_folder
from cellflow.training.budget import Pace
from cellflow.training.cell_types import MOST_PER_TYPE, choose_images
from cellflow.training.fine_tune import fine_tune


def two_types(folder, n):
    """Sparse discs on a dark ground, and many on a bright one."""
    rng = np.random.default_rng(3)
    images = []
    for k in range(n):
        kind = ["astro", "cort"][k % 2]
        image, labels = draw_discs(rng, n_cells=6 if kind == "astro" else 16)
        image = image if kind == "astro" else 255 - image
        images.append((f"i{k:02d}", image, labels, {"cell_type": kind}))
    write_competition_folder(folder, images)
    return folder


def entries(kinds):
    return [Entry(name=f"{k:03d}", image_path="x", cell_type=kind) for k, kind in enumerate(kinds)]


def test_only_data_of_two_types_or_more_is_looked_at_and_not_all_of_it():
    assert choose_images(entries(["a"] * 9)) == ()
    assert choose_images(entries(["a"] * 9 + ["b"] * 2)) == ()
    assert choose_images(entries([None] * 9)) == ()
    chosen = choose_images(entries(["a"] * 100 + ["b"] * 5 + [None]))
    kinds = [entry.cell_type for entry in chosen]
    assert (kinds.count("a"), kinds.count("b"), len(chosen)) == (
        MOST_PER_TYPE,
        5,
        MOST_PER_TYPE + 5,
    )


def test_a_trained_model_tells_the_type_of_new_images(tmp_path, small_config):
    data = two_types(tmp_path / "data", 16)
    config, said = small_config(n_epochs=6), []
    out = fine_tune(data, tmp_path / "run", config, init="scratch", device="cpu", say=said.append)
    assert any("images, the classifier of cell types, the model card" in line for line in said)
    folder = read_model_folder(out)
    assert folder.cell_type_head.record["images"] == {"astro": 6, "cort": 6}
    assert folder.record["cell_type_head"]["images"] == {"astro": 6, "cort": 6}
    assert "prediction recognises astro (6 images)" in (out / "README.md").read_text()
    model = load_model(out, device="cpu")
    rng = np.random.default_rng(8)
    image, _ = draw_discs(rng, n_cells=6)
    found = model.predict(image)
    assert found.cell_type_probability is not None
    told = {kind: model.predict(one).cell_type for kind, one in
            {"astro": image, "cort": 255 - draw_discs(rng, n_cells=16)[0]}.items()}  # fmt: skip
    assert told == {"astro": "astro", "cort": "cort"}
    before = folder.fingerprint()
    head = json.loads((out / "cell_types.json").read_text())
    (out / "cell_types.json").write_text(json.dumps({**head, "threshold": 1.5}))
    assert read_model_folder(out).fingerprint() != before
    assert load_model(out, device="cpu").predict(image).cell_type is None


def test_one_type_gives_no_head(disc_folder, tmp_path, small_config):
    config = replace(small_config(n_epochs=1))
    out = fine_tune(disc_folder(6), tmp_path / "run", config, init="scratch", device="cpu")
    assert not (out / "cell_types.json").exists()
    assert read_model_folder(out).record["cell_type_head"] is None
    assert "Cell types" not in (out / "README.md").read_text()


def test_a_time_budget_leaves_time_for_it_without_held_out_images(
    tmp_path, small_config, monkeypatch
):
    reserved, plan, style_of = [], Pace.plan, Model.style_of

    def watched(pace, *facts):
        reserved.append(pace.closing_seconds)
        return plan(pace, *facts)

    def slow(model, image):
        time.sleep(0.02)
        return style_of(model, image)

    monkeypatch.setattr(Pace, "plan", watched)
    monkeypatch.setattr(Model, "style_of", slow)
    config = small_config(n_epochs=4, max_minutes=5.0, validation_share=0)
    data = two_types(tmp_path / "data", 8)
    fine_tune(data, tmp_path / "run", config, init="scratch", device="cpu")
    assert reserved
    assert min(reserved) >= 8 * 0.02
