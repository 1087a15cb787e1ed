"""What the variants of an experiment file share: ``[base]``, and a table for each family."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellflow.errors import ConfigError
from cellflow.experiments.settings_tree import merged, with_assignment

Tree = Mapping[str, Any]

KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("name", "question", "section", "folds_file"), (str, "a text")),
    **dict.fromkeys(("folds", "folds_seed"), (int, "a whole number")),
    **dict.fromkeys(("folders", "base", "family"), (dict, "a table")),
    **dict.fromkeys(("reported", "variant"), (list, "tables in double brackets")),
}
"""Types of the keys of a file, except those that are checked where they are read."""


def shared(entry: Tree, tree: Tree) -> dict[str, Any]:
    """Give the shared settings below a ``[[variant]]``: ``[base]``, then its family's table."""
    return merged(tree.get("base", {}), tree.get("family", {}).get(_family_of(entry, tree), {}))


def assigned(tree: Tree, assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``KEY=VALUE`` to ``[base]``, and ``FAMILY.KEY=VALUE`` to the table of that family.

    Raises
    ------
    ConfigError
        An assignment has no ``=``, part of its key is a value, or it would change no variant.
    """
    families, result = _families(tree), dict(tree)
    for text in assignments:
        table = "family" if text.partition(".")[0] in families else "base"
        result[table] = with_assignment(result.get(table, {}), text)
        key = text.partition("=")[0].strip()
        if not any(_reaches(key, table, entry, tree) for entry in tree.get("variant", [])):
            raise ConfigError(
                f"--set {text}: would change nothing, since each variant, or the table of its "
                f"family, sets {key} itself; there are {', '.join(sorted(families))}, each with "
                "--set FAMILY.KEY=VALUE"
            )
    return result


def _reaches(key: str, table: str, entry: Tree, tree: Tree) -> bool:
    """Tell whether a key set in ``[base]`` or in a family's table has an effect on a variant."""
    family = _family_of(entry, tree)
    if table == "family":
        named, _, key = key.partition(".")
        return named == family and not _sets(entry, key)
    return not (_sets(entry, key) or _sets(tree.get("family", {}).get(family, {}), key))


def _sets(tree: Tree, key: str) -> bool:
    """Tell whether a tree, or its grid, has a value at a dotted key."""
    grid = tree.get("grid", {})
    if isinstance(grid, Mapping) and key in grid:
        return True
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def check_kinds(tree: Tree) -> None:
    """Check that tables are tables and strings are strings, so that the rest can be read.

    Raises
    ------
    ConfigError
        Names the key, the expected type and what was found.
    """
    for key, (kind, told) in KINDS.items():
        value = tree.get(key, kind())
        is_kind = type(value) is kind
        if kind is list:
            told = f"{told}, [[{key}]]"
            is_kind = is_kind and all(isinstance(each, dict) for each in value)
        if not is_kind:
            raise ConfigError(f"{key}: expected {told}, found {value!r}")


def check_families(tree: Tree) -> None:
    """Refuse a table for a family without variants, since it would have no effect.

    Raises
    ------
    ConfigError
        A table is for no variant (the message names it and the families in use), or it sets
        ``family`` or ``name``, which only a ``[[variant]]`` may.
    """
    tables = tree.get("family", {})
    if not all(isinstance(each, dict) for each in tables.values()):
        raise ConfigError("family: expected tables, such as [family.unet.settings.training]")
    used = _families(tree)
    for name, table in tables.items():
        if name not in used:
            known = ", ".join(sorted(used))
            raise ConfigError(f"[family.{name}]: no variant has this family; there are {known}")
        for key in ("family", "name"):
            if key in table:
                raise ConfigError(f"[family.{name}]: {key} may only be set in [[variant]]")


def _families(tree: Tree) -> set[str]:
    return {_family_of(entry, tree) for entry in tree.get("variant", [])}


def _family_of(entry: Tree, tree: Tree) -> str:
    family = entry.get("family", tree.get("base", {}).get("family", "cellflow"))
    if not isinstance(family, str):
        raise ConfigError(f"family: expected a name, found {family!r}")
    return family
