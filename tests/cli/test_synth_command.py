import pytest
from cellflow_cli.synth import command
from click.testing import CliRunner

from cellflow.errors import ConfigError


def test_a_folder_is_made_and_one_line_says_so(tmp_path):
    arguments = ["--out", str(tmp_path / "x"), "--images", "1", "--test-images", "0", "--seed", "4"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == f"{tmp_path / 'x'}: 1 training and 0 test images, seed 4\n"
    assert (tmp_path / "x" / "train.csv").exists()


def test_a_wrong_number_reaches_the_user_as_an_error_of_ours(tmp_path):
    arguments = ["--out", str(tmp_path / "x"), "--images", "0"]
    with pytest.raises(ConfigError):
        CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_without_a_folder_it_is_wrong_usage():
    assert CliRunner().invoke(command, []).exit_code == 2
