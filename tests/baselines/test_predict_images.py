"""Many images through a baseline: an interrupted run loses nothing."""

import numpy as np
import pytest

from cellflow.baselines import predict_images as module
from cellflow.baselines.predict_images import predict_images
from cellflow.baselines.settings import BaselineConfig
from cellflow.data.images import write_png
from cellflow.data.outputs import Outputs
from cellflow.records import Prediction


class FindsNothing:
    """As much of a baseline as is asked of it here."""

    config, fingerprint = BaselineConfig(), "none"

    def predict(self, picture, name):
        labels = np.zeros(picture.shape, np.int32)
        return Prediction(name=name, labels=labels, scores=np.zeros(0, np.float32))


def test_an_image_whose_picture_was_not_drawn_is_done_again(tmp_path, monkeypatch):
    images = [tmp_path / "images" / f"i{k}.png" for k in range(3)]
    for path in images:
        write_png(path, np.zeros((20, 20), np.uint8))
    given = {"outputs": Outputs([tmp_path / "s.csv"]), "overlays": tmp_path / "pictures"}
    draw, drawn = module.save_overlay, []

    def stopped_at_the_second(path, *arguments, **options):
        drawn.append(path)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        draw(path, *arguments, **options)

    monkeypatch.setattr(module, "save_overlay", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        predict_images(FindsNothing(), images, **given)
    assert predict_images(FindsNothing(), images, **given).n_resumed == 1
    assert len(list((tmp_path / "pictures").glob("*.png"))) == len(images)
