"""The demo: the complete workflow on a synthetic competition folder, against a classical baseline.

Synthetic folder → `fine_tune` from random weights → prediction of held-out images → score. The
baseline, threshold and watershed, is tuned on the same training images; the scores are compared
with a paired interval.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from cellflow.baselines.classical import ClassicalConfig, segment_classical, tune_classical
from cellflow.comparison.compare import compare
from cellflow.comparison.result import Comparison
from cellflow.config import Config, InferenceConfig, NetworkConfig, TrainingConfig
from cellflow.data.dataset import Dataset
from cellflow.data.images import list_images, read_image
from cellflow.data.kaggle import open_kaggle, read_train_csv
from cellflow.data.outputs import Outputs
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import read_submission, write_submission
from cellflow.inference.folder import predict_folder
from cellflow.inference.predict import load_model
from cellflow.metrics.score import Score
from cellflow.pictures.overlay import save_overlay
from cellflow.report.write import report_comparison
from cellflow.synth.competition import write_competition
from cellflow.telling import Report, Say, ignore
from cellflow.training.fine_tune import fine_tune

N_TRAIN, N_TEST = 40, 24
N_TUNED = 10
"""Training images that the baseline is tuned on: it is simple, so ten images, and a minute, are
enough."""

N_PICTURES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Results of the demo.

    Parameters
    ----------
    model, submission, baseline, pictures, page : Path
        The model folder, the submissions of model and baseline, the folder of pictures, and the
        HTML report.
    comparison : Comparison
        Model against baseline, paired by image.
    seconds : float
        Wall-clock time of the whole demo.
    """

    model: Path
    submission: Path
    baseline: Path
    pictures: Path
    page: Path
    comparison: Comparison
    seconds: float

    @property
    def score(self) -> Score:
        """The model's score on the held-out images."""
        return self.comparison.scores[0]


def demo_config(seed: int, minutes: float) -> Config:
    """Give settings that learn as much as possible in a few minutes on a CPU.

    Notes
    -----
    Cells keep their size: enlarging 17 px cells to Cellpose's 30 px would triple the pixels. Small
    crops fit into the CPU cache, small batches give more steps, and there are as many epochs as the
    time allows.
    """
    return Config(
        network=NetworkConfig(diam_mean=17.0),
        training=TrainingConfig(
            n_epochs=2000,
            max_minutes=minutes,
            batch_size=4,
            crop_size=96,
            schedule="cosine",
            warmup_epochs=3,
            rescaling="dataset",
            precision="auto",
            validation_share=0,
            seed=seed,
        ),
        inference=InferenceConfig(diameter=17.0),
    )


def run_demo(
    out: Path | str,
    *,
    seed: int = 0,
    minutes: float = 4.5,
    device: str = "auto",
    report: Report = ignore,
    say: Say = ignore,
) -> DemoResult:
    """Run the complete workflow on synthetic images.

    Parameters
    ----------
    out : path
        New folder for data, model, submissions and pictures.
    seed : int
        Seed of images, weights and crops.
    minutes : float
        Wall-clock budget of the training; with the default the whole demo takes eight minutes on
        two CPU cores.
    device : str
        As for `choose_device`.
    report, say : callable
        ``report(step, numbers)`` and ``say(text)``, on the progress.

    Raises
    ------
    DataError
        `out` contains something else.
    ConfigError
        The device is not available.

    Notes
    -----
    Held-out images are drawn from other random streams than training images, and their truth is in
    a file that neither training nor tuning reads.
    """
    started = time.monotonic()
    out = Path(out)
    data, model = out / "data", out / "model"
    say(f"1/5  drawing {N_TRAIN} training and {N_TEST} held-out images")
    write_competition(data, N_TRAIN, seed, n_test_images=N_TEST, report=report)
    say(f"2/5  training from random weights for {minutes:g} min")
    fine_tune(
        data,
        model,
        demo_config(seed, minutes),
        init="scratch",
        device=device,
        overwrite=True,
        report=report,
        say=say,
    )
    say("3/5  finding the cells of the held-out images")
    submission = out / "submission.csv"
    predict_folder(
        load_model(model, device=device),
        list_images(data / "test"),
        Outputs([submission]),
        restart=True,
        report=report,
        say=say,
    )
    say("4/5  tuning threshold + watershed on the training images, for comparison")
    baseline = out / "threshold_watershed.csv"
    _write_baseline(open_kaggle(data), data / "test", baseline, report, say)
    say("5/5  scoring and drawing")
    pictures = out / "pictures"
    _draw(data, submission, pictures)
    comparison = compare([submission, baseline], data / "test.csv", seed=seed)
    page = out / "report.html"
    report_comparison(page, comparison, data / "test.csv", report=report)
    return DemoResult(
        model=model,
        submission=submission,
        baseline=baseline,
        pictures=pictures,
        page=page,
        comparison=comparison,
        seconds=time.monotonic() - started,
    )


def _write_baseline(
    training: Dataset, images: Path, path: Path, report: Report, say: Say
) -> ClassicalConfig:
    step = max(1, len(training) // N_TUNED)
    samples = [entry.load() for entry in training.annotated[::step]]
    config, score = tune_classical(samples, report=report)
    say(f"     {config}, {score:.3f} on the images that it was tuned on")
    write_submission(
        path,
        (
            (image.stem, labels_to_masks(segment_classical(read_image(image), config)))
            for image in list_images(images)
        ),
    )
    return config


def _draw(data: Path, submission: Path, pictures: Path) -> None:
    """Draw the first images with truth and prediction side by side."""
    truth = read_train_csv(data / "test.csv")
    found = read_submission(submission)
    for name in list(truth)[:N_PICTURES]:
        save_overlay(
            pictures / f"{name}.png",
            read_image(data / "test" / f"{name}.png"),
            truth=truth[name].masks,
            predicted=found[name],
            title=name,
        )
