"""What a variant learns from besides the data: folders and weights, identified by their content.

The key of a result contains these hashes instead of paths: moving files does not invalidate
results, and results from changed files are never mixed with earlier ones.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from cellflow.data.dataset import Dataset
from cellflow.data.entrance import open_annotated
from cellflow.data.independence import hash_images
from cellflow.errors import DataError
from cellflow.experiments.plan import FOLDER_OPTIONS
from cellflow.hashing import hash_file
from cellflow.jsontext import read_object
from cellflow.network.model_folder import BASELINE, CONFIG, learnt_images
from cellflow.network.weights_file import WEIGHTS
from cellflow.training.survey import fingerprint_unseen
from cellflow.wording import counted


class Sources:
    """The content of other folders; each is read only once.

    Parameters
    ----------
    dataset : Dataset
        The experiment's own data, whose images must not occur in a folder to pretrain on.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._read: dict[str, tuple[str, int]] = {}

    def content(self, folder: str) -> str:
        """Give the SHA-256 of the names, pictures and truth in a folder of annotated images.

        Raises
        ------
        DataError
            The folder is missing, without truth, or broken.
        """
        return self._hash_and_count(folder)[0]

    def n_images(self, folder: str) -> int:
        """Give the number of annotated images of a folder."""
        return self._hash_and_count(folder)[1]

    def require_foreign(self, folder: str) -> None:
        """Check that a folder has no picture of the experiment's own data or of the same wells.

        Raises
        ------
        DataError
            It has; the model would be trained on held-out images.
        """
        wells = {entry.group: entry.name for entry in self._dataset.annotated if entry.group}
        entries = open_annotated(folder).annotated
        hashes = hash_images(entries)
        for entry in entries:
            told = ""
            if hashes[entry.name] in self._own:
                told = f"is the image {self._own[hashes[entry.name]]}"
            elif entry.group in wells:
                told = f"is of the same plate and well as {wells[entry.group]}"
            if told:
                raise DataError(
                    f"{folder}: {entry.name} {told} of {self._dataset.root}; a model trained on it "
                    "before would have seen what is held out"
                )

    def require_unseen(self, init: Any) -> None:
        """Check that initial weights, if their record says so, did not learn these images.

        Raises
        ------
        DataError
            They were trained on the experiment's images; every fold would start from weights that
            know its held-out images.
        """
        if not isinstance(init, str) or not Path(init).is_dir():
            return
        records = [path for name in (CONFIG, BASELINE) if (path := Path(init) / name).is_file()]
        for record in (read_object(path, DataError) for path in records):
            own = sorted(learnt_images(record) & {entry.name for entry in self._dataset.annotated})
            if own:
                raise DataError(
                    f"{init}: was trained on {counted(len(own), 'image')} named as those of "
                    f"{self._dataset.root} ({own[0]}); a model that begins with it would have seen "
                    "what is held out"
                )

    def named_by_content(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Replace folders and files of weights in options by the hashes of their content.

        Raises
        ------
        DataError
            As for `content`; or a file of weights cannot be read.
        """
        named = dict(options)
        for key in FOLDER_OPTIONS:
            if key in options:
                named[key] = [self.content(folder) for folder in options[key]]
        init = options.get("init")
        if isinstance(init, str) and Path(init).exists() and init != "scratch":
            path = Path(init)
            named["init"] = hash_file(path / WEIGHTS if path.is_dir() else path)
        return named

    @cached_property
    def _own(self) -> dict[str, str]:
        """Names of the experiment's own images, by the hash of the picture."""
        return {digest: name for name, digest in hash_images(self._dataset.annotated).items()}

    def _hash_and_count(self, folder: str) -> tuple[str, int]:
        if folder not in self._read:
            entries = open_annotated(folder).annotated
            self._read[folder] = fingerprint_unseen(entries), len(entries)
        return self._read[folder]
