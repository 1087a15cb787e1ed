"""`cellflow predict --shard` and `cellflow merge`: a job array instead of one job."""

import numpy as np
import pytest
import torch

from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
from cellflow.network.cpnet import build_network
from cellflow.network.model_folder import write_model_folder


@pytest.fixture
def models(tmp_path):
    """Two folders, of networks that see cells everywhere."""
    config = Config(
        network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
        inference=InferenceConfig(tile_size=64, precision="float32"),
        dynamics=DynamicsConfig(flow_threshold=0.0, min_size=5),
    )
    folders = []
    for seed in range(2):
        network = build_network(config.network, torch.Generator().manual_seed(seed))
        network.output[2].bias.data[2] += 3
        folders.append(tmp_path / f"model {seed}")
        write_model_folder(folders[-1], network, config, diameter=17.0, record={}, card="")
    return folders


def test_two_jobs_and_a_merge_write_what_one_job_does(cellflow, competition, models, tmp_path):
    options = ["--model", models[0], "--model", models[1], "--views", 2]
    images, out = competition / "train", tmp_path / "s.csv"
    whole = cellflow("predict", images, "--out", tmp_path / "one.csv", *options)
    assert whole.code == 0, whole.err
    assert "4 images, 4 passes (2 models, 2 views) each, about " in whole.err
    for number in (2, 1):
        done = cellflow("predict", images, "--out", out, "--shard", f"{number}/2", *options)
        part = tmp_path / f"s.csv.part-{number}-of-2"
        assert done.out.endswith(f" in 2 images: {part}\n"), done.err
    merged = cellflow("merge", *sorted(tmp_path.glob("s.csv.part-*")), "--out", out)
    assert merged.out == whole.out.replace("one.csv", "s.csv")
    assert out.read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_a_missing_part_is_one_line(cellflow, competition, models, tmp_path):
    out = tmp_path / "s.csv"
    cellflow("predict", competition / "train", "--out", out, "--shard", "1/3", "--model", models[0])
    merged = cellflow("merge", *tmp_path.glob("s.csv.part-*"), "--out", out)
    assert (merged.code, merged.errors) == (1, ["error: 2 of 3 parts missing: shard 2, 3"])
    assert not out.exists()


def test_a_failed_image_of_a_part_is_an_error_of_the_merge(cellflow, competition, models, tmp_path):
    (competition / "train" / "a.png").write_bytes(b"")
    for number in (1, 2):
        done = cellflow(
            "predict", competition / "train", "--out", tmp_path / "s.csv", "--shard",
            f"{number}/2", "--model", models[0],
        )  # fmt: skip
        assert done.code == (number == 1)
    merged = cellflow("merge", *tmp_path.glob("s.csv.part-*"), "--out", tmp_path / "s.csv")
    assert merged.code == 1
    assert "a.png" in merged.errors[0]
    assert merged.errors[-1] == "error: 1 image could not be processed"
    assert (tmp_path / "s.csv").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--shard", "4/3"), "--shard 4/3: expected K/N with K from 1 to N"),
        (("--views", 3), "--views: expected 1, 2, 4 or 8, found 3"),
        (("--diameter-policy", "fixed"), "fixed, but inference.diameter is not given"),
        (("--set", "inference.scales=[1.0, 9.0]"), "expected one or more factors from 0.25 to 4"),
        (("--set", "inference.compilation=graphs"), "graphs needs a CUDA device, this is cpu"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    cellflow, competition, models, tmp_path, option, said
):
    done = cellflow(
        "predict", competition / "train", "--out", tmp_path / "s.csv", "--model", models[0],
        "--device", "cpu", *option,
    )  # fmt: skip
    assert (done.code, len(done.errors)) == (1, 1)
    assert said in done.errors[0]
    assert not list(tmp_path.glob("s.csv*"))


def test_a_budget_that_is_no_time_is_wrong_usage(cellflow, competition, models, tmp_path):
    done = cellflow(
        "predict", competition, "--out", tmp_path / "s.csv", "--model", models[0], "--budget", "9"
    )
    assert done.code == 2
    assert "expected a time such as 90s, 30m or 9h" in done.err


def test_a_large_budget_leaves_out_nothing(cellflow, competition, models, tmp_path):
    done = cellflow(
        "predict", competition / "train", "--out", tmp_path / "s.csv", "--model", models[0],
        "--views", 8, "--budget", "9h",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "8 passes (8 views) each" in done.err
    assert "to fit" not in done.err
    assert np.loadtxt(tmp_path / "s.csv", str, delimiter=",", skiprows=1).shape[0] >= 4
