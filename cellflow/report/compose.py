"""Compose the page of a subject within a limit on its size, and write the file."""

from dataclasses import dataclass
from pathlib import Path

from cellflow.atomic import write_text
from cellflow.errors import ConfigError
from cellflow.report.blocks import LONGEST_SIDE, Blocks, image_blocks
from cellflow.report.breakdown_section import breakdown_section
from cellflow.report.budget_section import budget_section
from cellflow.report.cells_section import cells_section
from cellflow.report.difference_section import difference_section
from cellflow.report.headline import headline
from cellflow.report.images_section import images_section
from cellflow.report.markup import Section
from cellflow.report.page import assemble, method_section
from cellflow.report.ranking import rank_images
from cellflow.report.score_section import score_section
from cellflow.report.subject import Subject
from cellflow.telling import Report, ignore
from cellflow.wording import counted

MEGABYTES = 12.0
"""Default limit of the file in millions of bytes: fits 120 images of 704x520 and two models."""
N_REASONS = 3
"""The page gives reasons for at most this many pictures that cannot be read."""
SENTENCES = 2000
"""Bytes reserved for the sentences about the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult:
    """What was written to the report.

    Parameters
    ----------
    path : Path
    n_images : int
        Images in the list.
    n_shown : int
        Images that the viewer can show.
    n_pictures : int
        Images among those that have a picture.
    n_unread : int
        Pictures that could not be read.
    n_bytes : int
        Size of the file.
    remarks : tuple of str
        Remarks for the reader of the report.
    """

    path: Path
    n_images: int
    n_shown: int
    n_pictures: int
    n_unread: int
    n_bytes: int
    remarks: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Summary of the file's content in one line."""
        shown = f"{self.n_shown} of them" if self.n_shown < self.n_images else "all"
        pictures = "" if self.n_pictures else ", without pictures"
        if self.n_unread:
            pictures = f", without {counted(self.n_unread, 'picture')} that cannot be read"
        return (
            f"{self.path}: {counted(self.n_images, 'image')}, {shown} in the viewer{pictures}, "
            f"{self.n_bytes / 1e6:.1f} MB"
        )


def write_report(
    path: Path | str,
    subject: Subject,
    *,
    megabytes: float = MEGABYTES,
    report: Report = ignore,
) -> ReportResult:
    """Write the report of a subject; parameters are those of `report_predictions`."""
    if not 0.1 <= megabytes <= 500:
        raise ConfigError(f"megabytes of a report: expected 0.1 to 500, found {megabytes:g}")
    ranking = rank_images(subject)
    sections = [cells_section(subject)]
    if subject.scores:
        sections[:0] = [score_section(subject), *_difference(subject), budget_section(subject)]
    top = headline(subject)

    def page(blocks: Blocks) -> str:
        by_index = dict(zip((one.index for one in ranking), blocks.texts, strict=True))
        return assemble(
            subject,
            top,
            [
                *sections,
                images_section(subject, ranking, _about_pictures(subject, blocks)),
                method_section(subject, _about_quality(blocks)),
            ],
            [by_index[index] for index in range(len(subject.images))],
        )

    nothing = Blocks(texts=(None,) * len(ranking), quality=None)
    room = int(1e6 * megabytes) - len(page(nothing).encode()) - SENTENCES - 64 * len(ranking)
    blocks = image_blocks(subject, [one.index for one in ranking], room, report)
    content = page(blocks)
    write_text(path, content)
    n_bytes = len(content.encode())
    too_large = []
    if n_bytes > 1e6 * megabytes and not any(blocks.texts):
        too_large = [f"without pictures it takes {n_bytes / 1e6:.1f} MB, more than was asked for"]
    shown = [one.index for one, text in zip(ranking, blocks.texts, strict=True) if text]
    pictured = {subject.images[index] for index in shown} & subject.pictures.keys()
    return ReportResult(
        path=Path(path),
        n_images=len(subject.images),
        n_shown=len(shown),
        n_pictures=len(pictured - blocks.unread.keys()),
        n_unread=len(blocks.unread),
        n_bytes=n_bytes,
        remarks=(*subject.remarks, *blocks.unread.values(), *too_large),
    )


def _difference(subject: Subject) -> list[Section]:
    comparison = subject.comparison
    if comparison is None:
        return []
    return [difference_section(subject, comparison), breakdown_section(comparison)]


def _about_pictures(subject: Subject, blocks: Blocks) -> str:
    """Say what the viewer cannot show, and why."""
    sentences = []
    if not subject.pictures:
        sentences.append(
            "The images themselves were not given (--images), so that cells are shown alone."
        )
    if blocks.unread:
        pictures = counted(len(blocks.unread), "picture")
        reasons = "; ".join(list(blocks.unread.values())[:N_REASONS])
        sentences.append(f"{pictures} cannot be read, so that the cells stand alone: {reasons}.")
    if blocks.n_left_out:
        n_images = len(subject.images)
        sentences.append(
            f"The viewer holds the first {n_images - blocks.n_left_out} of {n_images} images, to "
            "keep this file small; the list has all."
        )
    return " ".join(sentences)


def _about_quality(blocks: Blocks) -> str:
    if blocks.quality is None:
        return ""
    return (
        "Pictures are stretched in contrast and stored as WebP at quality "
        f"{blocks.quality} of 100, larger ones averaged down to {LONGEST_SIDE} pixels: good to "
        "look at, not to measure. Outlines are exact to the pixel."
    )
