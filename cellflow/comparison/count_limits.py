"""Notice detectors with a limit on the number of objects, by equal counts on many images."""

from collections import Counter
from collections.abc import Mapping

from cellflow.wording import counted

USUAL_LIMITS = frozenset({100, 200, 256, 300, 500, 1000})
"""Usual defaults of detectors: 100 for Detectron2, mmdet, torchvision and COCO; 300 for Ultralytics
…"""

FEWEST_IMAGES, FEWEST_CELLS = 3, 50
"""A limit is suspected if at least `FEWEST_IMAGES` images have exactly the largest count, and that
count is at least `FEWEST_CELLS`; at one of the `USUAL_LIMITS` one image less is enough."""


def count_limit_remarks(
    name: str, counts: Mapping[str, int], cell_types: Mapping[str, str | None]
) -> list[str]:
    """Warn when a method has exactly the same, largest number of cells on many images.

    Parameters
    ----------
    name : str
        The method's.
    counts : mapping of image name to int
        Number of its cells on each image.
    cell_types : mapping of image name to str or None

    Returns
    -------
    list of str
        Empty, or a sentence on the limit and one on each cell type about which nothing can be
        concluded: those where the limit is reached on half of the images or more.

    Examples
    --------
    >>> counts = {"a": 100, "b": 100, "c": 100, "d": 31}
    >>> for remark in count_limit_remarks("rcnn", counts, dict.fromkeys(counts, "shsy5y")):
    ...     print(remark)
    rcnn has exactly 100 cells on 3 images (3 of shsy5y): a limit of its detector, not a finding
    no conclusion about shsy5y from 4 images: rcnn stops at exactly 100 cells on 3 of them
    """
    most = max(counts.values(), default=0)
    at_limit = [image for image, count in counts.items() if count == most]
    fewest = FEWEST_IMAGES - (most in USUAL_LIMITS)
    if len(at_limit) < fewest or most < FEWEST_CELLS:
        return []
    all_of = Counter(cell_types.get(image) or "unknown" for image in counts)
    limited = Counter(cell_types.get(image) or "unknown" for image in at_limit)
    where = ", ".join(f"{count} of {kind}" for kind, count in sorted(limited.items()))
    remarks = [
        f"{name} has exactly {most} cells on {counted(len(at_limit), 'image')} ({where}): a limit "
        "of its detector, not a finding"
    ]
    for kind, count in sorted(limited.items()):
        what = "dense images" if kind == "unknown" else kind
        if 2 * count >= all_of[kind]:
            remarks.append(
                f"no conclusion about {what} from {counted(all_of[kind], 'image')}: {name} "
                f"stops at exactly {most} cells on {count} of them"
            )
    return remarks
