"""The U-Net and its files, both ways between here and Cellpose."""

import subprocess
import sys

import pytest
import torch

from cellflow.config import NetworkConfig
from cellflow.config.network import MOST_LEVELS
from cellflow.errors import DataError, ModelError
from cellflow.inference.tiles import DIVISOR
from cellflow.network.cpnet import (
    FLOW_SCALE,
    build_network,
    fetch_pretrained,
    find_pretrained,
    load_weights,
    save_cellpose_file,
    silence_style,
    weights_terms,
)

TINY = NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0)


def network(seed=0, config=TINY):
    return build_network(config, torch.Generator().manual_seed(seed))


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_weights_depend_on_the_generator_alone_and_leave_the_global_one():
    before = torch.random.get_rng_state()
    torch.rand(3)
    assert same(network(1), network(1))
    assert not same(network(1), network(2))
    torch.random.set_rng_state(before)
    expected = torch.rand(1)
    torch.random.set_rng_state(before)
    network(3)
    assert torch.equal(torch.rand(1), expected)


def test_weights_leave_the_generators_of_gpus_as_they_are(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    network(1)
    assert seeds == []


def test_the_default_network_is_the_size_of_cellposes():
    count = sum(p.numel() for p in network(config=NetworkConfig()).parameters())
    # The published 6,600,843 numbers of cyto3 hold the batch norms as scale and shift.
    assert abs(count - 6_600_843) < 5000


def test_the_deepest_network_that_is_allowed_takes_the_smallest_padding():
    deepest = network(config=NetworkConfig(channels_per_level=(2,) * MOST_LEVELS))
    assert deepest.eval()(torch.zeros(1, 2, DIVISOR, DIVISOR))[0].shape == (1, 3, DIVISOR, DIVISOR)


def test_a_file_gives_the_network_back_with_its_sizes_and_diameters(tmp_path):
    saved = network()
    saved.diam_labels.data.fill_(18.5)
    save_cellpose_file(saved, tmp_path / "modèle 1")
    loaded = load_weights(tmp_path / "modèle 1")
    assert same(saved, loaded)
    assert (float(loaded.diam_mean), float(loaded.diam_labels)) == (17.0, 18.5)
    assert [path.name for path in tmp_path.iterdir()] == ["modèle 1"]


def test_missing_broken_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ModelError, match="cannot read the model"):
        load_weights(tmp_path / "none")
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ModelError, match="broken, or not a Cellpose model"):
        load_weights(tmp_path / "broken")
    (tmp_path / "random").write_bytes(b"\x80\x02u.")
    with pytest.raises(ModelError, match="broken, or not a Cellpose model"):
        load_weights(tmp_path / "random")
    torch.save({"W2": torch.zeros(2)}, tmp_path / "cp4")
    with pytest.raises(ModelError, match="Cellpose 4"):
        load_weights(tmp_path / "cp4")
    torch.save([1, 2], tmp_path / "list")
    with pytest.raises(ModelError, match="expected named tensors"):
        load_weights(tmp_path / "list")
    state = network().state_dict()
    del state["output.2.bias"]
    torch.save(state, tmp_path / "part")
    with pytest.raises(ModelError, match=r"tensors missing \['output\.2\.bias'\]"):
        load_weights(tmp_path / "part")


def test_weights_that_are_nowhere_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    with pytest.raises(ModelError, match="no weights of cyto3 at"):
        find_pretrained("cyto3")
    import cellpose.models

    def offline(name):
        raise OSError("no network")

    monkeypatch.setattr(cellpose.models, "model_path", offline)
    with pytest.raises(
        ModelError, match=r"put https://\S+/cyto3 there \(CELL.* --init scratch"
    ) as caught:
        fetch_pretrained("cyto3")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="unknown pretrained model 'cyto9'; known: cyto3"):
        fetch_pretrained("cyto9")


def test_cached_weights_are_taken_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    (tmp_path / "cyto2torch_0").write_bytes(b"x")
    assert fetch_pretrained("cyto2") == tmp_path / "cyto2torch_0"


def test_a_full_disk_is_an_error_of_the_file_in_the_disks_own_words(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cannot write .*model: File too large"):
            save_cellpose_file(network(), tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_without_style_the_decoder_gives_the_same_whatever_the_style(tmp_path):
    images = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    for is_silent in (False, True):
        one = network().eval()
        if is_silent:
            silence_style(one)
        save_cellpose_file(one, tmp_path / "file")
        loaded = load_weights(tmp_path / "file").eval()  # as any other program would
        with torch.no_grad():
            seen = loaded(images)[0]
            loaded.style_on = False  # Cellpose's own way of leaving the vector out
            unseen = loaded(images)[0]
        assert torch.equal(seen, unseen) == is_silent


def test_only_pretrained_weights_come_with_terms():
    assert "non-commercial" in weights_terms("cyto3")
    assert weights_terms("runs/mine") is None


def test_of_cellpose_only_the_network_is_imported():
    code = (
        "import sys, cellflow.inference.predict, cellflow.training.fine_tune;"
        "print(*(name for name in sys.modules if name.startswith('cellpose')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"cellpose", "cellpose.version", "cellpose.resnet_torch"}


def test_a_prediction_does_not_wait_for_modules_that_only_training_and_exports_need():
    code = (
        "import sys, cellflow.inference.folder;"
        "print(*({'scipy.optimize', 'scipy.ndimage', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_the_flow_scale_is_cellposes():
    assert FLOW_SCALE == 5.0
