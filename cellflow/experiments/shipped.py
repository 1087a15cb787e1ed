"""The experiment files that come with cellflow; most repeat a section of the seed report."""

from importlib.resources import files
from pathlib import Path

from cellflow.configfile import read_toml
from cellflow.errors import ConfigError

SHIPPED = Path(str(files("cellflow.experiments"))) / "shipped"


def shipped_experiments() -> dict[str, str]:
    """Give the question of each shipped experiment, by its name."""
    paths = sorted(SHIPPED.glob("*.toml"))
    return {path.stem: str(read_toml(path)["question"]) for path in paths}


def find_experiment(name: str) -> Path:
    """Give the file of a shipped experiment of that name, or else `name` as a path.

    Raises
    ------
    ConfigError
        Neither exists; the shipped experiments are listed.
    """
    shipped, path = SHIPPED / f"{name}.toml", Path(name)
    if path.name == name and shipped.is_file():
        return shipped
    if not path.is_file():
        known = ", ".join(shipped_experiments())
        raise ConfigError(f"{name}: no such file, and no experiment of that name; known: {known}")
    return path
