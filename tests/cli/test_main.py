"""The command line as a whole: lazy, honest about its exit codes."""

import importlib.metadata
import subprocess
import sys

import click
import pytest

from cellflow.errors import DataError


def run(*arguments):
    """Run `cellflow` in a fresh process, through its installed entry point."""
    code = (
        "import importlib.metadata as m, sys;"
        "[e] = m.entry_points(group='console_scripts', name='cellflow');"
        "main = e.load(); sys.argv[0] = 'cellflow'; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_command_and_imports_no_heavy_library():
    code = (
        "import sys; sys.argv = ['cellflow', '--help'];"
        "import cellflow_cli\n"
        "try: cellflow_cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'scipy', 'cellpose', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("train", "predict", "score", "compare", "check", "folds", "show", "synth"):
        assert f"\n  {name} " in done.stdout


def test_every_command_has_help_without_importing_torch():
    import cellflow_cli

    for name in cellflow_cli.COMMANDS:
        done = run(name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: cellflow" in done.stdout


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        ("train", "training__n_epochs", "[default: {train.n_epochs}]"),
        ("train", "training__batch_size", "[default: {train.batch_size}]"),
        ("train", "training__learning_rate", "[default: {scratch} from scratch, {trained} from"),
        ("predict", "cellprob_threshold", "or {dynamics.cellprob_threshold:g}."),
        ("predict", "flow_threshold", "or {dynamics.flow_threshold:g}."),
        ("predict", "min_size", "or {dynamics.min_size}."),
        ("baseline", "training__iterations", "[default: {fit.iterations}]"),
        ("baseline", "training__batch_size", "[default: {fit.batch_size}]"),
        ("baseline", "training__learning_rate", "[default: {fit.learning_rate:g}]"),
    ],
)
def test_defaults_in_help_texts_are_those_of_the_settings(command, option, said):
    from cellflow.baselines.settings import FitSettings
    from cellflow.config import DynamicsConfig, TrainingConfig
    from cellflow.training.schedule import SCRATCH_RATE, TRAINED_RATE

    texts = {one.name: one.help for one in options_of(command)}
    expected = said.format(
        train=TrainingConfig(), dynamics=DynamicsConfig(), fit=FitSettings(),
        scratch=SCRATCH_RATE, trained=TRAINED_RATE,
    )  # fmt: skip
    assert expected in texts[option]


def options_of(name):
    """Give the options of a command, and of those below it."""
    from cellflow_cli import cellflow

    command = cellflow.get_command(click.Context(cellflow), name)
    below = getattr(command, "commands", {}).values()
    return [
        one for each in (command, *below) for one in each.params if isinstance(one, click.Option)
    ]


def test_wrong_usage_is_exit_code_2_and_names_the_option():
    done = run("score", "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_an_unknown_command_is_exit_code_2():
    assert run("segment").returncode == 2


def test_the_version_is_the_distributions():
    assert run("--version").stdout.split()[-1] == importlib.metadata.version("cellflow")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("train.csv line 3: odd"), 1, "error: train.csv line 3: odd"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (click.UsageError("no"), 2, "no"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(monkeypatch, capsys, error, code, text):
    import cellflow_cli

    def fail(**_):
        raise error

    monkeypatch.setattr(cellflow_cli, "cellflow", fail)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the process does not end here
    with pytest.raises(SystemExit) as stop:
        cellflow_cli.main()
    assert stop.value.code == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["atexit.register(press)", "last = AtTheEnd()"])
def test_a_second_ctrl_c_while_the_program_ends_is_no_traceback(moment):
    code = (
        "import atexit, signal, cellflow_cli\n"
        "def fail(**_): raise KeyboardInterrupt\n"
        "def press(press=signal.raise_signal): press(2)\n"
        "class AtTheEnd: __del__ = lambda self, press=press: press()\n"
        "cellflow_cli.cellflow = fail\n"
        f"{moment}\n"
        "cellflow_cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_bug_shows_its_traceback(monkeypatch):
    import cellflow_cli

    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(cellflow_cli, "cellflow", fail)
    with pytest.raises(ZeroDivisionError):
        cellflow_cli.main()


def test_an_import_error_inside_a_command_surfaces(monkeypatch):
    import cellflow_cli

    table = {"broken": ("cellflow_cli.no_such_module", "")}
    group = cellflow_cli.lazy_group.LazyGroup(name="x", commands_table=table, before=list)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        group.get_command(click.Context(group), "broken")
