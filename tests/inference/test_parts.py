"""A prediction shared out over jobs and joined again is the prediction of one job."""

import json

import numpy as np
import pytest
import tifffile

from cellflow.data.image_names import ImageNames
from cellflow.data.images import write_png
from cellflow.data.outputs import Outputs
from cellflow.errors import ConfigError, DataError
from cellflow.inference.folder import predict_folder
from cellflow.inference.parts import Shard, merge_parts


@pytest.fixture
def images(draw_images):
    return draw_images(5)


@pytest.fixture
def share(tmp_path, tiny_model, images):
    """Do the images as several jobs; give the parts."""

    def do(n_shards, model=None, paths=images, numbers=None):
        numbers = numbers or range(1, n_shards + 1)
        model = model or tiny_model()
        return [
            predict_folder(
                model, paths, Outputs([tmp_path / "s.csv"]), shard=Shard(number, n_shards)
            ).outputs[0]
            for number in numbers
        ]

    return do


@pytest.mark.parametrize("n_shards", [1, 2, 5, 7])
def test_joined_parts_are_what_one_job_writes(tmp_path, tiny_model, images, share, n_shards):
    whole = predict_folder(
        tiny_model(),
        images,
        Outputs([tmp_path / "one.csv", tmp_path / "one"], cells=tmp_path / "one_c.csv"),
    )
    parts = share(n_shards)
    assert not (tmp_path / "s.csv").exists()
    result = merge_parts(
        parts[::-1], Outputs([tmp_path / "s.csv", tmp_path / "s"], cells=tmp_path / "s_c.csv")
    )
    assert (result.n_images, result.n_cells) == (5, whole.n_cells)
    assert whole.n_cells > 0
    for name in ("{}.csv", "{}_c.csv", *("{}/" + f"i{k}_masks.tif" for k in range(5))):
        ours, theirs = (tmp_path / name.format(side) for side in ("s", "one"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_merge_keeps_corrected_files_and_writes_the_others(tmp_path, images, share):
    parts, out, said = share(2), tmp_path / "s", []
    merge_parts(parts, Outputs([out]))
    corrected = out / "i3_masks.tif"
    tifffile.imwrite(corrected, np.eye(8, dtype=np.uint16))
    (out / "i0_masks.tif").unlink()
    assert merge_parts(parts, Outputs([out]), say=said.append).n_images == 4
    assert [text.rpartition("since ")[2] for text in said] == [
        "(i3_masks.tif); kept, unless --overwrite is given"
    ]
    assert tifffile.imread(corrected).shape == (8, 8)
    assert (out / "i0_masks.tif").exists()


def test_parts_lie_beside_the_output_by_number(share):
    assert [part.name for part in share(12, numbers=[1, 12])] == [
        "s.csv.part-01-of-12",
        "s.csv.part-12-of-12",
    ]


def test_every_image_is_in_one_shard():
    shares = [Shard(number, 3).of(range(8)) for number in (1, 2, 3)]
    assert [list(share) for share in shares] == [[0, 3, 6], [1, 4, 7], [2, 5]]


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/3", "1/2/3", "1.0/2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ConfigError, match=r"--shard .*expected K/N"):
        Shard.parse(text)
    assert str(Shard.parse("3/40")) == "3/40"


def test_an_interrupted_job_goes_on_and_a_finished_one_has_nothing_to_do(
    tmp_path, tiny_model, images
):
    def stop(step, numbers):
        raise KeyboardInterrupt

    shard, out = Shard(1, 2), Outputs([tmp_path / "s.csv"])
    with pytest.raises(KeyboardInterrupt):
        predict_folder(tiny_model(), images, out, shard=shard, report=stop)
    (part,) = tmp_path.glob("*.part-*")
    with pytest.raises(DataError, match="part-1-of-2: incomplete; run its job again"):
        merge_parts([part], out)
    assert predict_folder(tiny_model(), images, out, shard=shard).n_resumed == 1
    assert predict_folder(tiny_model(), images, out, shard=shard).n_resumed == 3


def test_a_part_whose_job_runs_again_is_complete_only_when_that_is_done(
    tmp_path, tiny_model, images, share
):
    (part,) = share(2, numbers=[1])
    write_png(images[0], np.zeros((40, 50), np.uint8))

    def stop(step, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(
            tiny_model(), images, Outputs([tmp_path / "s.csv"]), shard=Shard(1, 2), report=stop
        )
    with pytest.raises(DataError, match="part-1-of-2: incomplete; run its job again"):
        merge_parts([part], Outputs([tmp_path / "s.csv"]))


def test_missing_and_repeated_parts_are_named(tmp_path, share):
    parts = share(5)
    with pytest.raises(DataError, match=r"^2 of 5 parts missing: shard 2, 4$"):
        merge_parts([parts[0], parts[2], parts[4]], Outputs([tmp_path / "s.csv"]))
    with pytest.raises(DataError, match="part-1-of-5 are both shard 1/5"):
        merge_parts([*parts, parts[0]], Outputs([tmp_path / "s.csv"]))
    assert not (tmp_path / "s.csv").exists()


def test_parts_made_differently_are_not_joined(tmp_path, tiny_model, share):
    parts = [*share(2, numbers=[1]), *share(2, tiny_model(views=4), numbers=[2])]
    with pytest.raises(DataError, match=r"made differently: inference\.views: 4, not 1$"):
        merge_parts(parts, Outputs([tmp_path / "s.csv"]))
    assert not (tmp_path / "s.csv").exists()


def test_parts_of_other_images_or_another_division_are_not_joined(tmp_path, images, share):
    first = share(2, numbers=[1])
    with pytest.raises(DataError, match=r"is shard 2/3 of 5 images, .* is 1/2 of 5: not the same"):
        merge_parts([*first, *share(3, numbers=[2])], Outputs([tmp_path / "s.csv"]))
    fewer = share(2, paths=images[:4], numbers=[2])
    with pytest.raises(DataError, match=r"is shard 2/2 of 4 images, .* is 1/2 of 5: not the same"):
        merge_parts([*first, *fewer], Outputs([tmp_path / "s.csv"]))


def test_an_image_that_failed_is_said_again_and_the_rest_is_written(tmp_path, images, share):
    images[1].write_bytes(b"")
    result = merge_parts(share(2), Outputs([tmp_path / "s.csv"]))
    assert result.n_images == 4
    assert "i1.png" in result.failures[0]


def test_what_is_no_part_is_refused(tmp_path, images, share):
    with pytest.raises(DataError, match="in ä: not a part of a prediction"):
        merge_parts([images[0].parent], Outputs([tmp_path / "s.csv"]))
    parts = share(2)
    (parts[0] / "part.json").write_text("{")
    with pytest.raises(Exception, match=r"part\.json: broken .*; run its job again"):
        merge_parts(parts, Outputs([tmp_path / "s.csv"]))
    (parts[0] / "part.json").write_text(json.dumps({"shard": 1}))
    with pytest.raises(DataError, match=r"part\.json: broken"):
        merge_parts(parts, Outputs([tmp_path / "s.csv"]))


def test_a_lost_file_of_a_part_is_named(tmp_path, share):
    parts = share(2)
    lost = next(parts[1].glob("*.npz"))
    lost.unlink()
    with pytest.raises(DataError, match=f"{lost.name}.*run its job again"):
        merge_parts(parts, Outputs([tmp_path / "s.csv"]))


def test_options_that_a_share_cannot_follow_are_refused(tmp_path, tiny_model, images):
    both = [tmp_path / "s.csv", tmp_path / "masks"]
    with pytest.raises(ConfigError, match="to cellflow merge"):
        predict_folder(tiny_model(), images, Outputs(both), shard=Shard(1, 2))
    with pytest.raises(ConfigError, match="to cellflow merge"):
        predict_folder(tiny_model(), images, Outputs(both[:1], cells=both[1]), shard=Shard(1, 2))
    ids = {str(number): path.stem for number, path in enumerate(images)}
    results = Outputs(
        [tmp_path / "r.json"], image_names=ImageNames(source=tmp_path / "t.json", names=ids)
    )
    with pytest.raises(ConfigError, match="--image-names to cellflow merge"):
        predict_folder(tiny_model(), images, results, shard=Shard(1, 2))
    with pytest.raises(ConfigError, match="each job would leave out other views"):
        predict_folder(tiny_model(), images, Outputs(both[:1]), budget=9.0, shard=Shard(1, 2))
