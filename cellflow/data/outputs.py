"""Where a prediction goes: files, folders and tables, checked before the work, written after it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflow.atomic import check_outputs
from cellflow.data.cell_tables import write_cells, write_counts
from cellflow.data.exports import (
    FolderFormat,
    Found,
    check_target,
    export,
    files_made_by_others,
    files_of_other_images,
)
from cellflow.data.image_names import ImageNames
from cellflow.errors import ConfigError, DataError
from cellflow.wording import counted, some_of


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the cells of many images are written to.

    Parameters
    ----------
    paths : sequence of path
        Files and folders as `export` knows them; at least one.
    folder_format : {"tif", "seg", "roi"}
        For the folders among them.
    cells, counts : path, optional
        CSV tables: `write_cells` with one row a cell, `write_counts` with one row an image.
    image_names : ImageNames, optional
        Ids of the images and numbers of the cell types, for COCO results.
    overwrite : bool
        Whether files that predictions did not write, or that were changed since, may be replaced.
    """

    paths: Sequence[Path]
    folder_format: FolderFormat = "tif"
    cells: Path | None = None
    counts: Path | None = None
    image_names: ImageNames | None = None
    overwrite: bool = False

    @property
    def tables(self) -> list[Path]:
        """The tables to write."""
        return [path for path in (self.cells, self.counts) if path is not None]

    def check(self, images: Sequence[Path], overlays: Path | None = None) -> None:
        """Check before the work that everything can be written and nothing replaces an image.

        Parameters
        ----------
        images : sequence of path
            Those that are predicted, and must not be overwritten.
        overlays : path, optional
            Folder that gets a picture of each.

        Raises
        ------
        ConfigError
            An unknown suffix or format, a folder where a file must go, an output that is an image
            or another output, ids that no output can hold, or, without `overwrite`, an output that
            would replace a file that no prediction wrote.
        DataError
            A file cannot be made, or an image has no id, or two.
        """
        self._check_ids(images)
        for path in self.paths:
            check_target(path, self.folder_format, len(images))
        check_outputs(images, [*self.paths, *self.tables], files=self.tables)
        if not self.overwrite:
            self._keep_work_of_others([path.stem for path in images])
        if overlays is not None:
            check_outputs(images, [overlays / f"{path.stem}.png" for path in images])

    def describe_foreign(self, images: Sequence[Path]) -> list[str]:
        """Say for each folder how many masks of other images it holds, since they stay there."""
        told = []
        for path in self.paths:
            foreign = files_of_other_images(
                path, self.folder_format, [image.stem for image in images]
            )
            if foreign:
                others = counted(len(foreign), "file")
                told.append(
                    f"{path}: holds {others} of other images, such as {foreign[0].name}; kept"
                )
        return told

    def write(self, load: Callable[[], Iterator[Found]]) -> int:
        """Write everything; give the number of cells.

        Parameters
        ----------
        load : callable
            Gives the predictions, one at a time, each time that it is called.
        """
        for path in self.paths:
            export(path, load(), self.folder_format, self.image_names)
        if self.cells is not None:
            write_cells(self.cells, (one.prediction for one in load()))
        if self.counts is not None:
            write_counts(self.counts, (one.prediction for one in load()))
        return sum(len(one.prediction.scores) for one in load())

    def _keep_work_of_others(self, names: Sequence[str]) -> None:
        for path in (*self.paths, *self.tables):
            others = files_made_by_others(path, self.folder_format, names)
            if not others:
                continue
            if others == [path]:
                raise ConfigError(
                    f"{path}: was not written by a prediction; choose another name, or --overwrite"
                )
            files = counted(len(others), "file")
            what = f"holds {files} not written by a prediction, or corrected since"
            what += f" ({some_of([one.name for one in others])})"
            raise ConfigError(
                f"--out {path}: {what}; give only the other images, another --out, or --overwrite"
            )

    def _check_ids(self, images: Sequence[Path]) -> None:
        if self.image_names is None:
            return
        source = self.image_names.source
        if not any(path.suffix.lower() == ".json" for path in self.paths):
            raise ConfigError(
                f"--image-names {source}: only applies to COCO results, --out FILE.json"
            )
        known = self.image_names.ids()
        missing = [path.stem for path in images if path.stem not in known]
        if missing:
            raise DataError(f"{source}: has no id for {some_of(missing)}")
