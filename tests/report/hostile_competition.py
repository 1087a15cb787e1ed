"""A small competition whose names try to break out of the page."""

import numpy as np

from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import dense_to_masks
from cellflow.data.submission import write_submission

SHAPE = (90, 120)
EVIL = "</script><script>document.title='broken'</script>"
NAMES = (EVIL, "b", "c\u2028\u202ed", "é & \"ö\" '<b>'")
CENTRES = ((20, 20), (20, 60), (60, 30), (60, 90))
SUBMISSIONS = ("a <i>&.csv", "good.csv")


def discs(centres, radius=9):
    """Draw one mask a centre."""
    y, x = np.indices(SHAPE)
    return dense_to_masks(
        np.array([np.hypot(y - cy, x - cx) < radius for cy, cx in centres]).reshape(-1, *SHAPE)
    )


def write_hostile_competition(root):
    """Write ``train.csv``, ``train/`` and two submissions; two of the four images have pictures.

    The first model hits cell 0, misses cell 1 by its outline and lacks 2 and 3; the second lacks
    cell 3 on all images but the last.
    """
    rng = np.random.default_rng(0)
    images = []
    for number, name in enumerate(NAMES):
        metadata = {"cell_type": "cort" if number % 2 else "astro</p>"}
        images.append(KaggleImage(name=name, masks=discs(CENTRES), metadata=metadata))
        if "/" not in name and "\u2028" not in name:
            picture = rng.normal(128, 30, SHAPE).clip(0, 255).astype(np.uint8)
            write_png(root / "train" / f"{name}.png", picture)
    write_train_csv(root / "train.csv", images)
    poor = [discs([(20, 20), (28, 60)])] * 4
    good = [discs(CENTRES[:3])] * 3 + [discs(CENTRES)]
    for path, found in zip(SUBMISSIONS, (poor, good), strict=True):
        write_submission(root / path, zip(NAMES, found, strict=True))
