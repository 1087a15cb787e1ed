"""What any tool wrote, to `Detections` by image name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflow.comparison.truth import Truth, shapes_of
from cellflow.data.submission import read_submission
from cellflow.records import Detections


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MethodOutput:
    """What one method found.

    Parameters
    ----------
    name : str
    kind : str
        What it was read from, in words.
    detections : mapping of image name to Detections
        Of the images that the method was run on, with or without cells.
    remarks : tuple of str
        What was noticed while reading.
    """

    name: str
    kind: str
    detections: Mapping[str, Detections]
    remarks: tuple[str, ...] = ()

    @property
    def has_scores(self) -> bool:
        """Whether the detections carry scores."""
        return any(one.scores is not None for one in self.detections.values())


def read_outputs(paths: Sequence[Path | str], truth: Truth) -> list[MethodOutput]:
    """Read what several methods found; each is named by its file, with its folder if need be."""
    sources = [Path(path) for path in paths]
    stems = [path.stem for path in sources]
    return [
        read_output(path, truth, stem if stems.count(stem) == 1 else str(path))
        for path, stem in zip(sources, stems, strict=True)
    ]


def read_output(path: Path, truth: Truth, name: str) -> MethodOutput:
    """Read what one method found."""
    masks = read_submission(path, shapes_of(truth))
    detections = {image: Detections(name=image, masks=found) for image, found in masks.items()}
    return MethodOutput(name=name, kind="submission", detections=detections)
