"""A competition folder of synthetic images, with every column of ``train.csv``."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cellflow._version import __version__
from cellflow.atomic import write_json
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError
from cellflow.records import CellMasks
from cellflow.synth.samples import draw_field
from cellflow.telling import Report, ignore

Part = Literal["train", "test"]

CYCLE = ("cort", "shsy5y", "cort", "astro")
"""Cell types by index: 50, 25 and 25 %, close to the competition's 53, 26 and 22 %."""
PER_WELL = 2
"""Images per well: time points, which must be in the same fold."""
WELLS_PER_PLATE = 96
RECORD = "synth.json"
"""File with the origin of the folder, so that images of different seeds, or real ones, are never
mixed."""
TABLES = ("train.csv", "test.csv", "sample_submission.csv")
PLATE_NAMES = {"cort": "cort[density]", "shsy5y": "shsy5y[diff]", "astro": "astro[cereb]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthImage:
    """Identity of a synthetic image, before it is drawn.

    Parameters
    ----------
    seed : int
    part : "train" or "test"
    index : int
        From 0 in each part.
    """

    seed: int
    part: Part
    index: int

    @property
    def name(self) -> str:
        """Twelve hexadecimal digits, like the competition's ids."""
        text = f"cellflow synth {self.seed} {self.part} {self.index}"
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:12]

    @property
    def cell_type(self) -> str:
        """Cell type, from `CYCLE`."""
        return CYCLE[self.index % len(CYCLE)]

    @property
    def metadata(self) -> dict[str, str]:
        """The competition's other columns; the time points of a well share plate and well."""
        rank = self.index // len(CYCLE) * CYCLE.count(self.cell_type)
        rank += CYCLE[: self.index % len(CYCLE)].count(self.cell_type)
        well, time_point = divmod(rank, PER_WELL)
        plate, place = divmod(well, WELLS_PER_PLATE)
        # Test wells are on separate plates, so that the test set is independent.
        plate_number = 2 * plate + (self.part == "test") + 1
        hours = 4 * (time_point + 1) + 7 * (well % 5)
        vessel = 100 * plate_number + list(PLATE_NAMES).index(self.cell_type)
        row, column = "ABCDEFGH"[place % 8], place // 8 + 1
        return {
            "cell_type": self.cell_type,
            "plate_time": f"{hours % 24:02d}h{30 * (well % 2):02d}m00s",
            "sample_date": f"2020-{10 + hours // 24 % 3:02d}-{well % 27 + 1:02d}",
            "sample_id": f"{PLATE_NAMES[self.cell_type]}p{plate_number}_{row}{column}"
            f"-{time_point + 1}_Vessel-{vessel}_Ph_{time_point % 4 + 1}",
            "elapsed_timedelta": f"{hours // 24} days {hours % 24:02d}:{30 * (well % 2):02d}:00",
        }

    def draw(self) -> tuple[NDArray[np.uint8], CellMasks]:
        """Draw the image and its truth; they depend only on seed, part and index."""
        key = (("train", "test").index(self.part), self.index)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        return draw_field(self.cell_type, rng)


def write_competition(
    out: Path | str,
    n_images: int,
    seed: int,
    *,
    n_test_images: int = 3,
    report: Report = ignore,
) -> Path:
    """Write a folder with the layout of the competition's.

    Parameters
    ----------
    out : path
        A new or empty folder, or one that was written with the same seed and at most as many
        images.
    n_images, n_test_images : int
        Annotated images for training, and images of the test set.
    seed : int
        Each image depends only on the seed and its index, so that images can be added later without
        changing the first ones.
    report : callable
        Called as ``report(n_done, {"total": n})``.

    Returns
    -------
    Path
        `out`, with ``train.csv``, ``train/``, ``test/``, ``sample_submission.csv``, and
        ``test.csv``: the truth of the test images, which must not be used in training.

    Raises
    ------
    ConfigError
        The number of images is 0, or the seed is negative.
    DataError
        The folder contains something else, or cannot be written.

    Notes
    -----
    Tables are written last, and deleted before images are added, so a folder with ``train.csv`` is
    complete.
    """
    if n_images < 1 or n_test_images < 0 or seed < 0:
        raise ConfigError(
            "expected at least 1 training image, 0 test images and seed 0, "
            f"found {n_images}, {n_test_images} and {seed}"
        )
    out = Path(out)
    _claim_folder(out, {"seed": seed, "images": n_images, "test_images": n_test_images})
    tables: dict[Part, list[KaggleImage]] = {"train": [], "test": []}
    for done, image in enumerate(_plan(n_images, n_test_images, seed), start=1):
        tables[image.part].append(_write_image(out, image))
        report(done, {"total": n_images + n_test_images})
    for rows in tables.values():
        rows.sort(key=lambda row: row.name)
    if n_test_images:
        write_train_csv(out / "test.csv", tables["test"])
    nothing = ((row.name, CellMasks.empty(row.masks.shape)) for row in tables["test"])
    write_submission(out / "sample_submission.csv", nothing)
    write_train_csv(out / "train.csv", tables["train"])
    return out


def _plan(n_images: int, n_test_images: int, seed: int) -> Iterator[SynthImage]:
    yield from (SynthImage(seed=seed, part="train", index=index) for index in range(n_images))
    yield from (SynthImage(seed=seed, part="test", index=index) for index in range(n_test_images))


def _claim_folder(out: Path, wanted: Mapping[str, int]) -> None:
    """Raise if the folder contains anything else; record what will be written.

    If the folder is to grow, its old tables are deleted first.
    """
    record_path = out / RECORD
    try:
        if record_path.is_file():
            before = json.loads(record_path.read_text(encoding="utf-8"))
            smaller = all(before[key] <= wanted[key] for key in ("images", "test_images"))
            if before["seed"] != wanted["seed"] or not smaller:
                raise DataError(
                    f"{out} holds {before['images']} + {before['test_images']} synthetic images of "
                    f"seed {before['seed']}; only more of the same can be added: choose another "
                    "folder"
                )
            if any(before[key] < wanted[key] for key in ("images", "test_images")):
                for table in TABLES:
                    (out / table).unlink(missing_ok=True)
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out} is not empty; choose a new folder for synthetic images")
    except OSError as error:
        raise DataError(f"cannot use {out}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{record_path} is damaged ({error}); choose another folder") from error
    write_json(record_path, {**wanted, "version": __version__})


def _write_image(out: Path, image: SynthImage) -> KaggleImage:
    picture, masks = image.draw()
    write_png(out / image.part / f"{image.name}.png", picture)
    return KaggleImage(name=image.name, masks=masks, metadata=image.metadata)
