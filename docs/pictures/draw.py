"""Draw the README's picture: synthetic image, truth and, where there is one, prediction.

    cellflow demo --out runs/demo
    python docs/pictures/draw.py runs/demo/data docs/pictures/demo.png runs/demo/submission.csv

Takes the first test image of each cell type and shows its densest window. Only synthetic images
belong into this repository.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from cellflow.atomic import atomic_path
from cellflow.data.flatten import flatten
from cellflow.data.images import read_image
from cellflow.data.kaggle import KaggleImage, read_train_csv
from cellflow.data.submission import read_submission
from cellflow.pictures.colours import colour_matches
from cellflow.pictures.display import stretch_contrast
from cellflow.pictures.lettering import add_caption, side_by_side
from cellflow.pictures.outlines import ZOOM, enlarge, outlines
from cellflow.records import CellMasks

WINDOW = (150, 210)
"""Height and width that are shown, px."""


def main() -> None:
    """Draw one row a cell type and write the sheet."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    predicted = read_submission(Path(sys.argv[3])) if len(sys.argv) > 3 else {}
    first: dict[str, KaggleImage] = {}
    for image in read_train_csv(data / "test.csv").values():
        first.setdefault(str(image.cell_type), image)
    rows = [
        _draw_row(data, first[cell_type], predicted.get(first[cell_type].name))
        for cell_type in ("cort", "shsy5y", "astro")
    ]
    # Few colours: half of the bytes, and no difference that an eye would see.
    sheet = Image.fromarray(np.concatenate(rows)).quantize(96, method=Image.Quantize.MAXCOVERAGE)
    with atomic_path(out) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)


def _draw_row(data: Path, image: KaggleImage, predicted: CellMasks | None) -> np.ndarray:
    pixels = read_image(data / "test" / f"{image.name}.png")
    top, left = _densest_window(image.masks)
    window = np.s_[ZOOM * top : ZOOM * (top + WINDOW[0]), ZOOM * left : ZOOM * (left + WINDOW[1])]
    panels = [(f"{image.cell_type}", enlarge(stretch_contrast(pixels), ZOOM))]
    if predicted is None:
        panels.append(("truth", outlines(pixels, image.masks)))
    else:
        of_truth, of_predicted = colour_matches(image.masks, predicted)
        panels += [
            ("truth: hit (blue), missed (amber)", outlines(pixels, image.masks, colours=of_truth)),
            (
                "predicted: hit (blue), spurious (red)",
                outlines(pixels, predicted, colours=of_predicted),
            ),
        ]
    return side_by_side([add_caption(panel[window], text, size=16) for text, panel in panels])


def _densest_window(masks: CellMasks) -> tuple[int, int]:
    height, width = WINDOW
    share = uniform_filter((flatten(masks) > 0).astype(float), WINDOW, mode="constant")
    inner = share[height // 2 : -height // 2 + 1, width // 2 : -width // 2 + 1]
    top, left = np.unravel_index(int(inner.argmax()), inner.shape)
    return int(top), int(left)


if __name__ == "__main__":
    main()
