"""``cellflow diagnose``: from the files of a prediction and its truth to a diagnosis."""

from pathlib import Path

from cellflow.comparison.coverage import compared_images
from cellflow.comparison.importers import Sources, names_from_truth, read_output
from cellflow.comparison.score import DEFAULTS, cells_to_score
from cellflow.comparison.truth import read_truth, shapes_of
from cellflow.config import ComparisonConfig
from cellflow.diagnosis.diagnose import Diagnosis, Examined, diagnose
from cellflow.diagnosis.pictures import draw_diagnosis
from cellflow.records import CellMasks
from cellflow.telling import Report, ignore


def diagnose_files(
    truth_path: Path,
    prediction: Path | None = None,
    *,
    sources: Sources | None = None,
    settings: ComparisonConfig = DEFAULTS,
    all_truth: bool = False,
    pictures: Path | None = None,
    seed: int = 0,
    report: Report = ignore,
) -> Diagnosis:
    """Find what limits the score of a prediction, or of any prediction of these cells.

    Parameters
    ----------
    truth_path : path
        Any truth that `read_truth` can read.
    prediction : path, optional
        Anything that `read_output` can read, for instance a submission; without one only the truth
        is examined.
    sources : Sources, optional
        Of the prediction.
    settings : ComparisonConfig
        How the prediction is prepared; by default as `score_submission` prepares it.
    all_truth : bool
        Count truth images that the prediction does not have as images without prediction, instead
        of leaving them out.
    pictures : path, optional
        Folder for PNG files.
    seed : int
        Of the bootstrap and of the folds on which cutoffs are chosen.
    report : callable
        ``report(step, numbers)`` after every image; numbers hold ``total``.

    Raises
    ------
    DataError, LabelError, RleError, SubmissionError, ModelError
        A file cannot be read, or does not fit the other.
    """
    remarks: list[str] = []
    truth = read_truth(truth_path, remarks)
    names, found = list(truth), dict[str, CellMasks]()
    if prediction is not None:
        sources = names_from_truth(sources, truth_path)
        output = read_output(prediction, shapes_of(truth), prediction.name, sources)
        names, of_images = compared_images(
            names, {output.name: output.detections}, all_truth=all_truth
        )
        scored = {name: truth[name] for name in names}
        cells, of_cells, _ = cells_to_score(output, scored, settings, seed)
        remarks += [*output.remarks, *of_images, *of_cells]
        found = {
            name: cells.get(name, CellMasks.empty(image.masks.shape))
            for name, image in scored.items()
        }
    diagnosis = diagnose(
        prediction.name if prediction is not None else truth_path.name,
        [
            Examined(
                truth=truth[name].masks,
                predicted=found.get(name),
                cell_type=truth[name].cell_type,
                group=truth[name].group,
            )
            for name in names
        ],
        seed=seed,
        remarks=remarks,
        report=report,
    )
    if pictures is not None:
        draw_diagnosis(pictures, diagnosis)
    return diagnosis
