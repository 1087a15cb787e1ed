"""The files of `cellflow diagnose`: a prediction is read as `compare` reads it."""

import json

import pytest

from cellflow.comparison.diagnose import diagnose_files
from cellflow.comparison.score import score_submission
from cellflow.config import ComparisonConfig
from cellflow.report.write import report_predictions

SQUARES = ([[2, 2, 8, 2, 8, 8, 2, 8]], [[4, 4, 10, 4, 10, 10, 4, 10]])


def write_coco_truth_and_results(folder):
    """Write a truth of two images that are called by number, and results that find its cells."""
    cells = [
        {"id": number, "image_id": number, "category_id": 1, "segmentation": square}
        for number, square in enumerate(SQUARES, start=7)
    ]
    images = [
        {"id": number, "file_name": name, "height": 14, "width": 16}
        for number, name in ((7, "a.png"), (8, "b.png"))
    ]
    truth, results = folder / "truth.json", folder / "results.json"
    truth.write_text(json.dumps({"images": images, "annotations": cells, "categories": []}))
    results.write_text(json.dumps([{**cell, "score": 0.9} for cell in cells]))
    return truth, results


def test_ids_of_results_are_looked_up_in_a_coco_truth(tmp_path):
    truth, results = write_coco_truth_and_results(tmp_path)
    found = diagnose_files(truth, results)
    assert found.types["all"].n_images == 2
    assert found.types["all"].budget.score.estimate == 1
    written = report_predictions(tmp_path / "report.html", [results], truth=truth)
    assert written.n_images == 2


@pytest.mark.parametrize("rule", ["higher_score", "mask_nms"])
def test_cells_that_overlap_are_diagnosed_as_they_are_scored(tmp_path, rule):
    truth, results = write_coco_truth_and_results(tmp_path)
    found = json.loads(results.read_text())
    # A larger copy of the first cell, with a lower score, in each place where a rule may leave it.
    found.insert(0, {**found[0], "segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]], "score": 0.5})
    results.write_text(json.dumps(found))
    settings = ComparisonConfig(overlap_rule=rule, tune_cutoffs=False)
    diagnosis = diagnose_files(truth, results, settings=settings)
    score = score_submission(truth, results, settings=settings)
    assert diagnosis.types["all"].budget.score.estimate == pytest.approx(score.mean.estimate)
    assert [remark for remark in diagnosis.remarks if f"overlaps: rule {rule}" in remark]
