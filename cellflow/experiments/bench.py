"""What an experiment works on: the data, its folds, the store."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import Folds, make_folds, read_folds, write_folds
from cellflow.errors import DataError
from cellflow.experiments.plan import Experiment
from cellflow.experiments.sources import Sources
from cellflow.experiments.store import Store
from cellflow.training.survey import fingerprint, survey_images


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """The data, folds and store that an experiment works on.

    Parameters
    ----------
    dataset : Dataset
    folds : Folds
    folds_file : Path
    store : Store
    sources : Sources
        The other folders that variants learn from.
    """

    dataset: Dataset
    folds: Folds
    folds_file: Path
    store: Store
    sources: Sources

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The annotated images by name."""
        return {entry.name: entry for entry in self.dataset.annotated}


def open_bench(
    experiment: Experiment, train_dir: Path | str, store: Path | str, layout: str | None = None
) -> Bench:
    """Open data and store, and make or read the folds.

    Raises
    ------
    DataError
        The data is missing or differs from that of the store; the folds are for other images.
    """
    dataset = open_dataset(train_dir, layout)
    if not dataset.annotated:
        raise DataError(f"{train_dir}: no annotated image ({dataset.layout} layout)")
    opened = Store.open(store, fingerprint(survey_images(dataset.annotated)))
    if experiment.folds_file is not None:
        path = experiment.folds_file
    else:
        path = opened.folder / f"folds-{experiment.n_folds}-{experiment.folds_seed}.json"
        if not path.exists():
            write_folds(path, make_folds(dataset, experiment.n_folds, experiment.folds_seed))
    return Bench(
        dataset=dataset,
        folds=read_folds(path, dataset),
        folds_file=path,
        store=opened,
        sources=Sources(dataset),
    )
