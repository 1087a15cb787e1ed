"""Prediction split over the jobs of a job array, and the merging of their results.

Each job predicts every N-th image and writes a part beside the output: a folder such as
``submission.csv.part-03-of-40``. It holds the cells of its images, the state that they depend on
(``state.json``), and, once the job is done, the list of its images (``part.json``).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from cellflow.atomic import write_json
from cellflow.data.exports import Found
from cellflow.data.outputs import Outputs
from cellflow.errors import ConfigError, DataError
from cellflow.inference.outcome import FolderResult
from cellflow.inference.store import (
    STATE,
    Store,
    first_difference,
    load_prediction,
)
from cellflow.jsontext import read_object
from cellflow.telling import Say, ignore
from cellflow.wording import counted

Item = TypeVar("Item")

PART = "part.json"
KEYS = ("shard", "n_shards", "n_images", "images_sha256", "images", "failures")
ADVICE = "run its job again"


@dataclass(frozen=True, slots=True)
class Shard:
    """The share of the images that one job predicts: every `total`-th, beginning with `number`.

    Parameters
    ----------
    number, total : int
        `number` counts from 1.

    Raises
    ------
    ConfigError
        The number is not from 1 to `total`.
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.total:
            raise ConfigError(f"--shard {self}: expected K/N with K from 1 to N")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``3/40``.

        Raises
        ------
        ConfigError
            The text has another form, or the number is out of range.
        """
        number, slash, total = text.partition("/")
        if not (slash and number.strip().isdecimal() and total.strip().isdecimal()):
            raise ConfigError(f"--shard {text}: expected K/N, for instance 3/40")
        return cls(int(number), int(total))

    def __str__(self) -> str:
        """Write ``3/40``."""
        return f"{self.number}/{self.total}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Give the items of this shard; neighbours, which are often alike, go to different jobs."""
        return items[self.number - 1 :: self.total]

    def folder(self, output: Path) -> Path:
        """Give the folder of this shard's part of `output`."""
        width = len(str(self.total))
        whole = output.absolute()
        return whole.with_name(f"{whole.name}.part-{self.number:0{width}}-of-{self.total}")


def open_part(store: Store) -> None:
    """Mark a part as incomplete until `write_part`, even if an earlier job had completed it."""
    (store.folder / PART).unlink(missing_ok=True)


def write_part(store: Store, shard: Shard, images: Sequence[Path], failures: Sequence[str]) -> None:
    """Write which of all `images` the part holds, and so mark it as complete."""
    content = {
        "shard": shard.number,
        "n_shards": shard.total,
        "n_images": len(images),
        "images_sha256": _hash_names(images),
        "images": [
            {"place": place, "image": str(path.absolute()), "file": store.place(path).name}
            for place, path in zip(shard.of(range(len(images))), shard.of(images), strict=True)
            if store.has(path)
        ],
        "failures": list(failures),
    }
    write_json(store.folder / PART, content)


def merge_parts(folders: Sequence[Path], outputs: Outputs, *, say: Say = ignore) -> FolderResult:
    """Join the parts of a prediction and write them as one.

    Parameters
    ----------
    folders : sequence of path
        All parts, in any order.
    outputs : Outputs
    say : callable
        ``say(text)``, about files that stay in the folders of the outputs.

    Raises
    ------
    DataError
        A folder is not a part, or is incomplete; a shard is given twice, or missing; parts are of
        different images or made with different settings. The message says which.

    Notes
    -----
    The outputs are those that one job over all images would have written, without the files that
    `Outputs.leave_out_kept` names.
    """
    parts = [_Part.read(folder) for folder in folders]
    _check_parts(parts)
    kept = sorted(
        (one["place"], part.folder / one["file"], Path(one["image"]))
        for part in parts
        for one in part.content["images"]
    )
    if not kept:
        raise DataError("the parts hold no image")

    images = [image for _, _, image in kept]
    outputs.check(images)
    left = set(outputs.leave_out_kept(images, say))

    def load() -> Iterator[Found]:
        return (load_prediction(file, image) for _, file, image in kept if image in left)

    return FolderResult(
        n_images=len(left),
        n_cells=outputs.write(load),
        n_resumed=0,
        outputs=tuple(outputs.paths),
        failures=tuple(text for part in parts for text in part.content["failures"]),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A part on disk: the contents of ``part.json`` and ``state.json``."""

    folder: Path
    content: Mapping[str, Any]
    state: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "_Part":
        if not (folder / STATE).is_file():
            raise DataError(f"{folder}: not a part of a prediction (there is no {STATE})")
        if not (folder / PART).is_file():
            raise DataError(f"{folder}: incomplete; run its job again to finish it")
        content = read_object(folder / PART, DataError, ADVICE)
        absent = [key for key in KEYS if key not in content]
        if absent:
            raise DataError(f"{folder / PART}: broken (missing {', '.join(absent)}); {ADVICE}")
        for one in content["images"]:
            if not (folder / one["file"]).is_file():
                raise DataError(f"{folder}: {one['file']} of {one['image']} is missing; {ADVICE}")
        return cls(folder, content, read_object(folder / STATE, DataError, ADVICE))

    @property
    def shard(self) -> Shard:
        return Shard(self.content["shard"], self.content["n_shards"])


def _check_parts(parts: Sequence[_Part]) -> None:
    """Check that the parts together make up one prediction."""
    first = parts[0]
    seen: dict[Shard, Path] = {}
    for part in parts:
        difference = first_difference(part.state, first.state)
        if difference is not None:
            raise DataError(f"{part.folder} and {first.folder} were made differently: {difference}")
        same = ("n_shards", "n_images", "images_sha256")
        if any(part.content[key] != first.content[key] for key in same):
            number = counted(part.content["n_images"], "image")
            raise DataError(
                f"{part.folder} is shard {part.shard} of {number}, {first.folder} is "
                f"{first.shard} of {first.content['n_images']}: not the same images"
            )
        if part.shard in seen:
            raise DataError(f"{seen[part.shard]} and {part.folder} are both shard {part.shard}")
        seen[part.shard] = part.folder
    total = first.shard.total
    missing = [str(k) for k in range(1, total + 1) if Shard(k, total) not in seen]
    if missing:
        shown = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
        raise DataError(f"{len(missing)} of {counted(total, 'part')} missing: shard {shown}")


def _hash_names(images: Sequence[Path]) -> str:
    return hashlib.sha256("\n".join(path.name for path in images).encode()).hexdigest()
