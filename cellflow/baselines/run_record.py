"""Which baseline's run a folder holds, according to the record that is written before it begins."""

from cellflow.errors import ModelError
from cellflow.training.run_folder import RunFolder

RUN_KEY = "run_key"
"""Key in the record of a run; its value is null before the run begins."""


def key_of_run(folder: RunFolder) -> str | None:
    """Give the `FitData.run_key` of the run in a folder; None if there is no run.

    Raises
    ------
    ModelError
        The record of the run is broken.
    """
    if not folder.is_begun:
        return None
    fields = folder.read_fields()
    return None if fields.values.get(RUN_KEY, "") is None else fields.text(RUN_KEY)


def clear_run(folder: RunFolder) -> None:
    """Remove the run in a folder, if there is one, and its model; earlier stages are kept.

    Raises
    ------
    DataError
        A file cannot be removed.
    """
    if folder.is_begun:
        folder.clear()
        folder.write_record({RUN_KEY: None})


def another_run(folder: RunFolder) -> ModelError:
    """Give the error that a folder holds another run than the requested one."""
    return ModelError(
        f"{folder.path}: holds a run with other images, truth, cell types, folds, initial weights "
        "or settings; choose another --out, or --overwrite"
    )
