"""The data, folds and result store that an experiment works on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_annotated
from cellflow.data.folds import Folds, make_folds, read_folds, write_folds
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
        Other folders and weights that variants learn from.
    """

    dataset: Dataset
    folds: Folds
    folds_file: Path
    store: Store
    sources: Sources

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The annotated images by name."""
        return self.dataset.by_name


def open_bench(
    experiment: Experiment,
    train_dir: Path | str,
    store: Path | str,
    layout: str | None = None,
    *,
    begin: bool = True,
) -> Bench:
    """Open the data and the store, and make or read the folds.

    Parameters
    ----------
    experiment : Experiment
    train_dir : path
        Annotated images.
    store : path
    layout : str, optional
        Of the data; None = detect it.
    begin : bool
        Whether to create the store if it does not exist; otherwise nothing is written.

    Raises
    ------
    DataError
        The data is missing or differs from that of the store, or the folds are for other images.
    """
    dataset = open_annotated(train_dir, layout)
    data_hash = fingerprint(survey_images(dataset.annotated))
    opened = Store.open(store, data_hash, begin=begin)
    own = opened.folder / f"folds-{experiment.n_folds}-{experiment.folds_seed}.json"
    path = experiment.folds_file or own
    if path == own and not own.exists():
        folds = make_folds(dataset, experiment.n_folds, experiment.folds_seed)
        if begin:
            write_folds(own, folds)
    else:
        folds = read_folds(path, dataset)
    return Bench(
        dataset=dataset,
        folds=folds,
        folds_file=path,
        store=opened,
        sources=Sources(dataset),
    )
