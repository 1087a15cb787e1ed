"""Every kind of entry gives the same cells."""

import json

import numpy as np
import pytest

from cellflow.comparison.importers import Sources, read_output, read_outputs
from cellflow.data.exports import Found, export
from cellflow.data.image_names import read_image_names
from cellflow.data.images import write_png
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import masks_to_dense
from cellflow.errors import DataError, LabelError, SubmissionError
from cellflow.network.thresholds import Provenance, Thresholds, write_thresholds
from cellflow.records import Prediction

SHAPE = (6, 9)


def shapes(*names, shape=SHAPE):
    return dict.fromkeys(names, shape)


@pytest.fixture
def labels():
    image = np.zeros(SHAPE, np.int32)
    image[0:2, 1:4], image[3:6, 5:9] = 1, 2
    return image


@pytest.fixture
def predictions(labels):
    return [
        Prediction(
            name=name, labels=found, scores=np.linspace(0.9, 0.5, found.max(), dtype=np.float32)
        )
        for name, found in (("a", labels), ("b", np.zeros_like(labels)))
    ]


def exported(tmp_path, predictions, target, folder_format="tif"):
    path = tmp_path / target
    found = [Found(prediction=one, image_path=tmp_path / f"{one.name}.png") for one in predictions]
    export(path, found, folder_format)
    return path


@pytest.mark.parametrize(
    ("target", "folder_format", "kind"),
    [
        ("s.csv", "tif", "submission"),
        ("masks", "tif", "label images"),
        ("segs", "seg", "_seg.npy"),
        ("r.json", "tif", "COCO results"),
    ],
)
def test_what_predict_writes_is_read_back(
    tmp_path, predictions, labels, target, folder_format, kind
):
    path = exported(tmp_path, predictions, target, folder_format)
    found = read_output(path, shapes("a", "b"), "x")
    assert (found.name, found.kind) == ("x", kind)
    dense = masks_to_dense(found.detections["a"].masks)
    assert (np.einsum("nyx,n->yx", dense, [1, 2]) == labels).all()
    assert found.has_scores == (kind == "COCO results")
    # COCO results have no place for an image without cells.
    assert ("b" in found.detections) == (kind != "COCO results")


def test_a_single_seg_file_is_of_one_image(tmp_path, predictions):
    folder = exported(tmp_path, predictions, "segs", "seg")
    [found] = read_outputs([folder / "a_seg.npy"], shapes("a"))
    assert (found.name, list(found.detections)) == ("a", ["a"])


def test_plain_pngs_are_labels_and_beside_masks_they_are_pictures(tmp_path, labels):
    write_png(tmp_path / "m/a.png", labels.astype(np.uint8))
    assert list(read_output(tmp_path / "m", shapes("a"), "x").detections) == ["a"]
    write_label_tiff(tmp_path / "m/b_masks.tif", labels)
    assert list(read_output(tmp_path / "m", shapes("a"), "x").detections) == ["b"]


def test_labels_without_truth_are_known_but_not_read(tmp_path, labels):
    write_label_tiff(tmp_path / "m/a.tif", labels)
    (tmp_path / "m/z.tif").write_bytes(b"broken")
    assert list(read_output(tmp_path / "m", shapes("a"), "x").detections) == ["a", "z"]


@pytest.mark.parametrize(("target", "folder_format"), [("masks", "tif"), ("segs", "seg")])
def test_labels_of_another_size_are_refused_with_both(tmp_path, predictions, target, folder_format):
    path = exported(tmp_path, predictions, target, folder_format)
    with pytest.raises(LabelError, match=r"image a is 6x9, its truth 9x6"):
        read_output(path, shapes("a", "b", shape=(9, 6)), "x")
    if target == "segs":
        with pytest.raises(LabelError, match=r"image a is 6x9, its truth 9x6"):
            read_output(path / "a_seg.npy", shapes("a", shape=(9, 6)), "x")


def test_two_label_files_of_one_image_are_refused_unless_they_agree(tmp_path, labels):
    for name in ("a_masks.tif", "a_cp_masks.tif"):
        write_label_tiff(tmp_path / "m" / name, labels)
    assert list(read_output(tmp_path / "m", shapes("a"), "x").detections) == ["a"]
    np.save(tmp_path / "m/a_seg.npy", {"masks": labels * (labels == 1)}, allow_pickle=True)
    with pytest.raises(LabelError, match="are both labels of image a"):
        read_output(tmp_path / "m", shapes("a"), "x")


def test_ids_of_coco_results_are_looked_up(tmp_path, predictions):
    path = exported(tmp_path, predictions, "r.json")
    content = [item | {"image_id": 5} for item in json.loads(path.read_text())]
    path.write_text(json.dumps(content))
    (tmp_path / "names.csv").write_text("id,file_name\n5,a.png\n6,b.png\n")
    sources = Sources(image_names=read_image_names(tmp_path / "names.csv"))
    found = read_output(path, shapes("a", "b"), "x", sources)
    assert [len(found.detections[name].masks) for name in "ab"] == [2, 0]
    assert "1 image of names.csv without a cell in it" in found.remarks[0]


def test_what_is_of_no_kind_is_refused_with_the_kinds(tmp_path):
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"expected a submission \.csv, COCO results"):
        read_output(tmp_path / "x.txt", shapes("a"), "x")
    with pytest.raises(DataError, match=r"neither label images, _seg\.npy files nor a model"):
        read_output(tmp_path / "empty", shapes("a"), "x")


def test_entries_of_the_same_name_keep_their_folders(tmp_path, predictions):
    paths = [exported(tmp_path, predictions, f"{name}/s.csv") for name in ("x", "y")]
    names = [found.name for found in read_outputs(paths, shapes("a", "b"))]
    assert names == [str(path) for path in paths]


@pytest.fixture
def model(tmp_path, rng):
    """A model folder that learnt image a, and the pictures a, b and other, of 40x50 px."""
    import torch

    from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
    from cellflow.network.cpnet import build_network
    from cellflow.network.model_folder import write_model_folder

    config = Config(
        network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
        inference=InferenceConfig(tile_size=64, precision="float32"),
        dynamics=DynamicsConfig(flow_threshold=0.0, min_size=1),
    )
    record = {"data": {"train": ["a", "c"]}}
    network = build_network(config.network, torch.Generator().manual_seed(0))
    write_model_folder(tmp_path / "model", network, config, diameter=17.0, record=record, card="")
    for name in ("a", "b", "other"):
        write_png(tmp_path / f"in/{name}.png", rng.integers(0, 255, (40, 50), np.uint8))
    return tmp_path / "model"


def test_a_model_folder_predicts_the_images_that_have_truth(tmp_path, model):
    done = []
    sources = Sources(
        images=(tmp_path / "in",),
        device="cpu",
        report=lambda step, numbers: done.append((step, numbers["total"])),
    )
    found = read_output(model, shapes("a", "b", shape=(40, 50)), "x", sources)
    assert (found.kind, list(found.detections)) == ("model", ["a", "b"])
    assert done == [(1, 2), (2, 2)]
    assert found.has_scores
    with pytest.raises(LabelError, match="image a is 40x50, its truth 50x40"):
        read_output(model, shapes("a", shape=(50, 40)), "x", sources)


def test_images_that_a_model_has_learnt_are_told(tmp_path, model):
    sources = Sources(images=(tmp_path / "in",), device="cpu")
    found = read_output(model, shapes("a", "b", shape=(40, 50)), "x", sources)
    assert found.remarks == (
        "x was trained on 1 of the 2 images that it predicts here, such as a: what it finds there "
        "says nothing of new images",
    )
    assert read_output(model, shapes("b", shape=(40, 50)), "x", sources).remarks == ()
    record = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**record, "refit": {"trained_on": ["b"]}}))
    (remark,) = read_output(model, shapes("b", shape=(40, 50)), "x", sources).remarks
    assert remark.startswith("x was trained on 1 of the 1 image that it predicts here, such as b")


@pytest.mark.parametrize(
    ("run", "what"),
    [
        ({"kept": "best"}, "its weights among those of all validations"),
        ({"kept": "last", "patience": 5}, "when its training ended"),
    ],
)
def test_images_that_chose_something_of_a_model_are_told(tmp_path, model, run, what):
    sources = Sources(images=(tmp_path / "in",), device="cpu")
    record = json.loads((model / "config.json").read_text())
    record |= {"data": {"train": ["c"], "validation": ["b"]}, "run": run}
    (model / "config.json").write_text(json.dumps(record))
    (remark,) = read_output(model, shapes("a", "b", shape=(40, 50)), "x", sources).remarks
    assert remark == (
        f"1 of the 2 images that x predicts here, such as b, chose {what}: its score on them is "
        "too high"
    )
    assert read_output(model, shapes("a", shape=(40, 50)), "x", sources).remarks == ()


def test_images_that_thresholds_were_tuned_on_are_told(tmp_path, model):
    sources = Sources(images=(tmp_path / "in",), device="cpu")
    record = json.loads((model / "config.json").read_text())
    record["data"] = {"train": ["c"], "validation": ["b"]}
    (model / "config.json").write_text(json.dumps(record))
    wanted = shapes("a", "b", shape=(40, 50))
    assert read_output(model, wanted, "x", sources).remarks == ()
    for images, named in ((("b",), "b"), (("a", "z"), "a")):
        provenance = Provenance(how="a search", images_sha256="0", n_images=1, images=images)
        write_thresholds(model, Thresholds(tuned=True, provenance=provenance))
        (remark,) = read_output(model, wanted, "x", sources).remarks
        assert f"such as {named}, chose its thresholds" in remark


def test_two_pictures_of_one_image_are_refused(tmp_path, model):
    write_png(tmp_path / "more/a.png", np.zeros((40, 50), np.uint8))
    sources = Sources(images=(tmp_path / "in", tmp_path / "more"), device="cpu")
    with pytest.raises(DataError, match=r"in/a\.png and .*more/a\.png are both image a"):
        read_output(model, shapes("a", shape=(40, 50)), "x", sources)
    assert list(read_output(model, shapes("b", shape=(40, 50)), "x", sources).detections) == ["b"]
    twice = Sources(images=(tmp_path / "in", tmp_path / "in/a.png"), device="cpu")
    assert list(read_output(model, shapes("a", shape=(40, 50)), "x", twice).detections) == ["a"]


def test_a_detector_that_lists_all_that_it_may_is_told(tmp_path, model, monkeypatch):
    from cellflow.comparison import model_predictions

    def load(folder, device, say):
        def predict(image, name):
            say(f"image {name}: reached the limit of 3 detections")
            return Prediction(
                name=name, labels=np.zeros((40, 50), np.int32), scores=np.zeros(0, np.float32)
            )

        return predict

    monkeypatch.setattr(model_predictions, "_load_model", load)
    sources = Sources(images=(tmp_path / "in",), device="cpu")
    found = read_output(model, shapes("b", shape=(40, 50)), "x", sources)
    assert found.remarks == (
        "x has as many cells as it may list on 1 image: image b: reached the limit of 3 detections",
    )


def test_a_model_without_images_is_refused(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    with pytest.raises(SubmissionError, match="m is a model; --images tells which images"):
        read_output(tmp_path / "m", shapes("a"), "x")
    write_png(tmp_path / "pictures/q.png", np.zeros(SHAPE, np.uint8))
    sources = Sources(images=(tmp_path / "pictures",))
    with pytest.raises(SubmissionError, match="none of the 1 image is one of the truth"):
        read_output(tmp_path / "m", shapes("a"), "x", sources)
