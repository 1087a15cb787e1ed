"""Where a prediction goes: files, folders and tables, checked before the work, written after it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellflow.atomic import check_outputs
from cellflow.data.cell_tables import write_cells, write_counts
from cellflow.data.exports import (
    SUFFIXES,
    FolderFormat,
    Found,
    check_target,
    export,
    files_of_other_images,
    files_there,
)
from cellflow.data.image_names import ImageNames
from cellflow.data.own_files import is_own
from cellflow.errors import ConfigError, DataError
from cellflow.telling import Say
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

    @property
    def is_one_folder(self) -> bool:
        """Whether a folder is all there is, so that each image has a file of its own."""
        one_path = len(self.paths) == 1 and not self.tables
        return one_path and self.paths[0].suffix.lower() not in SUFFIXES

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
            or another output, ids that no output can hold, or `files_of_others`, except in a single
            folder, where `leave_out_kept` keeps them.
        DataError
            A file cannot be made, or an image has no id, or two.
        """
        self._check_ids(images)
        for path in self.paths:
            check_target(path, self.folder_format, len(images))
        check_outputs(images, [*self.paths, *self.tables], files=self.tables)
        if not self.is_one_folder:
            self._refuse_to_replace(images)
        if overlays is not None:
            check_outputs(images, [overlays / f"{path.stem}.png" for path in images])

    def files_of_others(self, images: Sequence[Path]) -> list[Path]:
        """Give the files that predictions of `images` would replace, but must not.

        No prediction wrote them, or they were changed since. With `overwrite` there are none.
        """
        if self.overwrite:
            return []
        there = self._files_there(images).values()
        return [file for files in there for file in files if not is_own(file)]

    def describe_replaced(self, images: Sequence[Path]) -> str:
        """Say which outputs are there already; empty if none of them is."""
        there = [
            f"{counted(len(files), 'file')} in {path}" if path.is_dir() else str(path)
            for path, files in self._files_there(images).items()
            if files
        ]
        return (
            f"already there, replaced when this prediction is done: {', '.join(there)} "
            "(Ctrl-C keeps them)"
            if there
            else ""
        )

    def leave_out_kept(self, images: Sequence[Path], say: Say) -> Sequence[Path]:
        """Give the images to predict, and say what stays in the folders.

        Those are all of them, except that a single folder keeps `files_of_others`. Files of images
        that are not among `images` stay, too.
        """
        names = [image.stem for image in images]
        for path in self.paths:
            foreign = files_of_other_images(path, self.folder_format, names)
            if foreign:
                others = counted(len(foreign), "file")
                say(f"{path}: holds {others} of other images, such as {foreign[0].name}; kept")
        kept = {image: self.files_of_others([image]) for image in images if self.is_one_folder}
        if files := [file for found in kept.values() for file in found]:
            say(f"{self.paths[0]}: {_describe(files)}; kept, unless --overwrite is given")
        return [image for image in images if not kept.get(image)]

    def write(self, load: Callable[[], Iterator[Found]]) -> int:
        """Write everything; give the number of cells.

        Parameters
        ----------
        load : callable
            Gives the predictions, one at a time, each time that it is called.

        Raises
        ------
        DataError
            A file in a single folder was changed meanwhile; those of other images may be written.
        """
        for path in self.paths:
            export(path, self._unless_changed(load()), self.folder_format, self.image_names)
        if self.cells is not None:
            write_cells(self.cells, (one.prediction for one in load()))
        if self.counts is not None:
            write_counts(self.counts, (one.prediction for one in load()))
        return sum(len(one.prediction.numbers) for one in load())

    def require_unchanged(self, images: Sequence[Path]) -> None:
        """Refuse to replace files that were changed since `check`.

        Raises
        ------
        DataError
            There are such files; the message names them.
        """
        if changed := self.files_of_others(images):
            names = some_of([str(path) for path in changed])
            raise DataError(f"{names}: changed while the prediction ran, and kept")

    def _unless_changed(self, found: Iterator[Found]) -> Iterator[Found]:
        """Look at the file of each image again, since writing thousands of them takes minutes."""
        for one in found:
            if self.is_one_folder:
                self.require_unchanged([one.image_path])
            yield one

    def _files_there(self, images: Sequence[Path]) -> dict[Path, list[Path]]:
        names = [image.stem for image in images]
        paths = (*self.paths, *self.tables)
        return {path: files_there(path, self.folder_format, names) for path in paths}

    def _refuse_to_replace(self, images: Sequence[Path]) -> None:
        others = self.files_of_others(images)
        for path in (*self.paths, *self.tables):
            if path in others:
                raise ConfigError(
                    f"{path}: was not written by a prediction; choose another name, or --overwrite"
                )
        if others:
            raise ConfigError(
                f"--out {others[0].parent}: {_describe(others)}, whose cells the other outputs "
                "would not have; give this --out alone, which keeps them and does the other "
                "images, or --overwrite"
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


def _describe(files: Sequence[Path]) -> str:
    names = some_of([file.name for file in files])
    number = counted(len(files), "file")
    return f"holds {number} not written by a prediction, or corrected since ({names})"
