"""bfloat16 against float32 with a trained network on real images, native or emulated."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.data.flatten import flatten
from cellflow.data.images import read_image
from cellflow.data.kaggle import read_train_csv
from cellflow.demo import demo_config
from cellflow.inference.predict import load_model
from cellflow.metrics.average_precision import average_precision
from cellflow.network import precision
from cellflow.training.fine_tune import fine_tune

WINDOW = np.s_[100:316, 100:316]
"""One tile of an image: a processor that emulates bfloat16 takes five seconds for it."""


def with_precision(wanted):
    return lambda config: replace(config, inference=replace(config.inference, precision=wanted))


@pytest.mark.slow
@pytest.mark.real_data
def test_bfloat16_gives_the_same_fields_cells_and_score_on_real_images(
    real_data, tmp_path, monkeypatch
):
    """Full-size network after 25 epochs, two images of each cell type; the first one decides.

    Epochs and not minutes: the error of bfloat16 does not shrink with what the network says, and
    one that has learnt next to nothing would be kept in float32.
    """
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: True)
    config = demo_config(0, 60.0)
    config = replace(
        config,
        training=replace(config.training, precision="float32", n_epochs=25),
        # A network this young is sure of little; its cells are compared all the same.
        dynamics=replace(config.dynamics, cellprob_threshold=-1.0, flow_threshold=0.0),
    )
    fine_tune(real_data / "sartorius", tmp_path / "model", config, init="scratch", device="cpu")
    models = [
        load_model(tmp_path / "model", device="cpu", change=with_precision(wanted))
        for wanted in ("float32", "auto")
    ]
    truth, scores, between = read_train_csv(real_data / "sartorius/train.csv"), [], []
    for cell_type in ("astro", "cort", "shsy5y"):
        for name in [n for n, image in truth.items() if image.cell_type == cell_type][:2]:
            image = read_image(real_data / f"sartorius/train/{name}.png")[WINDOW]
            fields = [model.flow_field(image) for model in models]
            outputs = [np.stack([*field.flows, field.cellprob]) for field in fields]
            for one, other in zip(*outputs, strict=True):
                assert np.corrcoef(one.ravel(), other.ravel())[0, 1] >= 0.999
            found = [models[0].cells_of(field) for field in fields]
            between.append(average_precision(*found))
            cells = flatten(truth[name].masks)[WINDOW]
            scores.append([average_precision(cells, labels).mean for labels in found])
    assert models[1].dtypes == ("torch.bfloat16",)
    assert sum(matched.n_truths for matched in between) >= 20
    assert np.mean([matched.precision[0] for matched in between]) >= 0.98
    one, other = np.mean(scores, axis=0)
    assert other == pytest.approx(one, abs=0.002)
