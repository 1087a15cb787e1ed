"""A prediction shared out over the jobs of an array, and joined again.

Each job predicts every N-th image and leaves a part beside the output, a folder such as
``submission.csv.part-03-of-40``. It holds the cells of its images, what they depend on
(``state.json``), and, once all is done, which images they are (``part.json``).
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
from cellflow.telling import Say
from cellflow.wording import counted

Item = TypeVar("Item")

PART = "part.json"
KEYS = ("shard", "n_shards", "n_images", "images_sha256", "images", "failures")
ADVICE = "run its job again"


@dataclass(frozen=True, slots=True)
class Shard:
    """Which share of the images a job takes: every `total`-th, beginning with `number`.

    Parameters
    ----------
    number, total : int
        The first is number 1.

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
            It is no such text.
        """
        number, slash, total = text.partition("/")
        if not (slash and number.strip().isdecimal() and total.strip().isdecimal()):
            raise ConfigError(f"--shard {text}: expected K/N, for instance 3/40")
        return cls(int(number), int(total))

    def __str__(self) -> str:
        """Write ``3/40``."""
        return f"{self.number}/{self.total}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Give its items; neighbours in the list, often alike, go to different jobs."""
        return items[self.number - 1 :: self.total]

    def folder(self, output: Path) -> Path:
        """Give the folder of its part of `output`."""
        width = len(str(self.total))
        whole = output.absolute()
        return whole.with_name(f"{whole.name}.part-{self.number:0{width}}-of-{self.total}")


def open_part(store: Store) -> None:
    """Say that a part is not complete, whatever an earlier job left, until `write_part`."""
    (store.folder / PART).unlink(missing_ok=True)


def write_part(store: Store, shard: Shard, images: Sequence[Path], failures: Sequence[str]) -> None:
    """Say which of `images`, all of them, the part holds; it is then complete."""
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


def merge_parts(
    folders: Sequence[Path], outputs: Outputs, *, say: Say = lambda text: None
) -> FolderResult:
    """Join the parts of a prediction and write them as one.

    Parameters
    ----------
    folders : sequence of path
        All parts, in any order.
    outputs : Outputs
    say : callable
        Told what lies in the outputs' folders besides.

    Raises
    ------
    DataError
        A folder is no part, or not complete; a part is there twice, or missing; parts are of
        different images or made with different settings; one line says which.

    Notes
    -----
    The outputs are those that one job over all images would have written.
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

    def load() -> Iterator[Found]:
        return (load_prediction(file, image) for _, file, image in kept)

    images = [image for _, _, image in kept]
    outputs.check(images)
    for text in outputs.describe_foreign(images):
        say(text)
    return FolderResult(
        n_images=len(kept),
        n_cells=outputs.write(load),
        n_resumed=0,
        outputs=tuple(outputs.paths),
        failures=tuple(text for part in parts for text in part.content["failures"]),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A part as it lies on the disk: ``part.json`` and ``state.json``."""

    folder: Path
    content: Mapping[str, Any]
    state: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "_Part":
        if not (folder / STATE).is_file():
            raise DataError(f"{folder}: no part of a prediction (there is no {STATE})")
        if not (folder / PART).is_file():
            raise DataError(f"{folder}: not complete; run its job again, it goes on from there")
        content = read_object(folder / PART, DataError, ADVICE)
        absent = [key for key in KEYS if key not in content]
        if absent:
            raise DataError(f"{folder / PART}: broken (without {', '.join(absent)}); {ADVICE}")
        for one in content["images"]:
            if not (folder / one["file"]).is_file():
                raise DataError(f"{folder}: {one['file']} of {one['image']} is lost; {ADVICE}")
        return cls(folder, content, read_object(folder / STATE, DataError, ADVICE))

    @property
    def shard(self) -> Shard:
        return Shard(self.content["shard"], self.content["n_shards"])


def _check_parts(parts: Sequence[_Part]) -> None:
    """Refuse parts that do not make up one prediction."""
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
                f"{first.shard} of {first.content['n_images']}: not the same ones"
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
