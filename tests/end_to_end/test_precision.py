"""bfloat16 against float32 with a trained network on real images, native or emulated."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.data.images import read_image
from cellflow.data.kaggle import read_train_csv
from cellflow.demo import demo_config
from cellflow.inference.predict import load_model
from cellflow.metrics.average_precision import average_precision
from cellflow.training.fine_tune import fine_tune


def with_precision(precision):
    return lambda config: replace(config, inference=replace(config.inference, precision=precision))


@pytest.mark.slow
@pytest.mark.real_data
def test_bfloat16_gives_the_same_fields_and_score_on_real_images(real_data, tmp_path):
    """Full-size network, trained for two minutes, one image of each cell type."""
    config = demo_config(0, 2.0)
    config = replace(config, training=replace(config.training, precision="float32"))
    fine_tune(real_data / "sartorius", tmp_path / "model", config, init="scratch", device="cpu")
    truth = read_train_csv(real_data / "sartorius/train.csv")
    names = {image.cell_type: name for name, image in truth.items()}.values()
    scores = {"float32": [], "bfloat16": []}
    for name in names:
        image, fields = read_image(real_data / f"sartorius/train/{name}.png"), {}
        for precision, means in scores.items():
            model = load_model(tmp_path / "model", device="cpu", change=with_precision(precision))
            field = model.flow_field(image)
            fields[precision] = np.stack([*field.flows, field.cellprob])
            found = model.cells_of(field)
            means.append(average_precision(truth[name].masks, found).mean)
        for one, other in zip(*fields.values(), strict=True):
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] >= 0.999
    assert max(scores["float32"]) > 0.02
    assert np.mean(scores["bfloat16"]) == pytest.approx(np.mean(scores["float32"]), abs=0.002)
