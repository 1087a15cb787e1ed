"""``cellflow check``: inspection of a data folder, a submission or a download."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflow.data.check import check_dataset
from cellflow.data.entrance import describe, open_dataset
from cellflow.data.kaggle import read_train_csv
from cellflow.data.manifests import read_manifest, verify_download
from cellflow.data.submission import COMPETITION_SHAPE, Shapes, check_submission
from cellflow.diagnosis.ceilings import policy_ceilings
from cellflow.errors import DataError
from cellflow.telling import Report, ignore
from cellflow.wording import counted

MOST_SHOWN = 20
"""Number of problems that the text lists; JSON lists all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Findings of an inspection, for people and for machines.

    Parameters
    ----------
    headline : str
        What was inspected.
    problems, remarks : tuple of str
    table : str
        The facts as text; may be empty.
    facts : mapping
        The facts as numbers.
    """

    headline: str
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    table: str = ""
    facts: Mapping[str, Any]

    def text(self) -> str:
        """Give everything as text, with at most `MOST_SHOWN` problems."""
        shown = [f"problem: {problem}" for problem in self.problems[:MOST_SHOWN]]
        hidden = len(self.problems) - len(shown)
        if hidden > 0:
            shown.append(f"… and {hidden} more; --json lists all")
        verdict = [] if self.problems else ["no problems found"]
        parts = [self.headline, self.table, *(f"note: {r}" for r in self.remarks)]
        return "\n".join([part for part in [*parts, *shown, *verdict] if part])

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values, for JSON."""
        return {
            "headline": self.headline,
            "problems": list(self.problems),
            "remarks": list(self.remarks),
            **self.facts,
        }


def inspect_data(path: Path, layout: str | None = None, report: Report = ignore) -> Inspection:
    """Check a data folder, and compute what each flatten policy costs.

    Raises
    ------
    DataError
        The folder cannot be opened at all.
    """
    faults: list[str] = []
    dataset = open_dataset(path, layout, faults)
    found = check_dataset(dataset, report, faults)
    truths = []
    for entry in dataset.annotated:
        try:
            truths.append(entry.truth())
        except DataError:
            # `check_dataset` has listed it among the problems.
            continue
    costs = policy_ceilings(truths) if truths else {}
    lines = [f"  {policy:<15} {score:.4f}" for policy, score in costs.items()]
    title = "score of a perfect model after flattening the overlaps (1 = nothing lost):"
    return Inspection(
        headline=describe(dataset),
        problems=found.problems,
        remarks=found.remarks,
        table="\n".join([found.table(), "", title, *lines]) if truths else "",
        facts={**found.to_dict(), "ceilings": costs},
    )


def inspect_submission(path: Path, truth: Path | None = None) -> Inspection:
    """Check a submission by the competition's rules.

    Parameters
    ----------
    path : Path
    truth : Path, optional
        A ``train.csv`` with the images that the submission must cover, and their sizes; by default
        all images have the competition's 704x520 pixels.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    shapes: Shapes = COMPETITION_SHAPE
    names = None
    if truth is not None:
        shapes = {name: image.masks.shape for name, image in read_train_csv(truth).items()}
        names = set(shapes)
    found = check_submission(path, shapes, names)
    remarks = list(found.remarks)
    if truth is None:
        remarks.append(
            "image sizes are assumed to be 704x520, as in the competition; --truth gives others"
        )
    return Inspection(
        headline=f"{path}: {counted(found.n_cells, 'cell')} in {counted(found.n_images, 'image')}",
        problems=found.problems,
        remarks=tuple(remarks),
        facts={"images": found.n_images, "cells": found.n_cells},
    )


def inspect_download(name: str, folder: Path) -> Inspection:
    """Compare a downloaded data set with its manifest.

    Raises
    ------
    ManifestError
        There is no such manifest, or it is broken.
    """
    manifest = read_manifest(name)
    problems, facts = verify_download(manifest, folder)
    return Inspection(
        headline=f"{folder}: compared with the manifest of {manifest.title}",
        problems=tuple(problems),
        remarks=(f"licence: {manifest.licence}", f"source: {manifest.source}"),
        facts={"files": facts},
    )
