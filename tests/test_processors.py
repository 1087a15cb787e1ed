"""How many processors may be used: by affinity, and by control groups drawn as files."""

import os

import pytest

from cellflow import processors
from cellflow.processors import n_processors, n_processors_each


@pytest.fixture
def count(tmp_path, monkeypatch):
    """Count with these control groups: file beneath the folder of groups → content."""
    monkeypatch.setattr(processors.sys, "platform", "linux")
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processors, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)

    def with_groups(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return n_processors()

    return with_groups


@pytest.mark.parametrize(
    ("content", "expected"),
    [("max 100000\n", 8), ("200000 100000\n", 2), ("250000 100000\n", 3), ("10000 100000\n", 1),
     ("1600000 100000\n", 8), ("", 8), ("nonsense", 8)],
)  # fmt: skip
def test_version_2_of_a_container(count, content, expected):
    assert count("0::/\n", {"cpu.max": content}) == expected


def test_a_group_above_may_allow_less(count):
    files = {"job/cpu.max": "300000 100000", "job/step/cpu.max": "max 100000"}
    assert count("0::/job/step\n", files) == 3


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_version_1_has_two_files(count, folder):
    files = {
        f"{folder}/docker/x/cpu.cfs_quota_us": "400000\n",
        f"{folder}/docker/x/cpu.cfs_period_us": "100000\n",
        f"{folder}/cpu.cfs_quota_us": "-1\n",
        f"{folder}/cpu.cfs_period_us": "100000\n",
    }
    assert count("5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n", files) == 4


def test_the_group_of_the_host_that_a_container_cannot_see_is_passed_over(count):
    files = {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}
    assert count("4:cpu:/kubepods/pod1/container\n", files) == 2


def test_without_control_groups_the_affinity_counts(count, tmp_path):
    assert count("", {}) == 8
    (tmp_path / "membership").unlink()
    assert n_processors() == 8


def test_processes_of_one_machine_share_its_processors(monkeypatch):
    monkeypatch.setattr(processors, "n_processors", lambda: 8)
    assert n_processors_each() == 8
    for n_processes, share in (("2", 4), ("3", 2), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", n_processes)
        assert n_processors_each() == share


def test_here_it_is_at_most_what_the_system_says():
    assert 1 <= n_processors() <= os.cpu_count()
