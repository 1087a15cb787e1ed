"""Reading of `Config` from TOML and ``section.key=value`` texts, and writing as plain dictionaries.

Other dataclasses whose fields are sections are read and written in the same way.
"""

import copy
import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from cellflow.config import Config
from cellflow.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Sections = TypeVar("Sections", bound="DataclassInstance")


@overload
def read_config(
    path: Path | str | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    base: Config | None = None,
) -> Config: ...
@overload
def read_config(
    path: Path | str | None,
    assignments: Sequence[str],
    options: Mapping[str, Any] | None,
    base: Sections,
) -> Sections: ...
def read_config(
    path: Path | str | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    base: Any = None,
) -> Any:
    """Combine the defaults, a file, ``--set`` assignments and named options, in that order.

    Parameters
    ----------
    path : path or None
        A TOML file with the sections of `Config`.
    assignments : sequence of str
        Texts such as ``training.learning_rate=1e-4``; the value is parsed as TOML, or taken as a
        plain string if it is not valid TOML.
    options : mapping of str to any, optional
        ``{"training.seed": 3}``; entries that are None are ignored, so that a command can pass on
        all of its options.
    base : Config or a dataclass like it, optional
        Replaces the defaults, for instance with the settings of a trained model; the result has its
        type.

    Raises
    ------
    ConfigError
        Unknown section or key (the known ones are listed), a value of the wrong type or outside
        its range, or a file that is not TOML. If the error is in the file, the message names it.
    """
    tree = config_to_dict(base) if base is not None else {}
    if path is not None:
        for section, values in read_toml(Path(path)).items():
            _merge(tree, section, values)
    of_file = copy.deepcopy(tree)
    for text in assignments:
        key, value = _parse_assignment(text)
        _put(tree, key, value)
    for key, value in (options or {}).items():
        if value is not None:
            _put(tree, key, value)
    kind = Config if base is None else type(base)
    try:
        return config_from_dict(tree, kind)
    except ConfigError as error:
        if path is not None and str(error) == _refusal(of_file, kind):
            raise ConfigError(f"{path}: {error}") from error
        raise


@overload
def config_from_dict(tree: Mapping[str, Mapping[str, Any]]) -> Config: ...
@overload
def config_from_dict(tree: Mapping[str, Mapping[str, Any]], kind: type[Sections]) -> Sections: ...
def config_from_dict(tree: Mapping[str, Mapping[str, Any]], kind: type[Any] = Config) -> Any:
    """Build a `Config` from ``{section: {key: value}}``; missing values get their defaults.

    Parameters
    ----------
    tree : mapping
    kind : type
        `Config`, or another dataclass of sections.

    Raises
    ------
    ConfigError
        As `read_config`.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"expected sections, found {tree!r}")
    sections = {field.name: field.type for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for name in tree:
        if name not in sections:
            raise ConfigError(f"unknown section {name!r}; known: {', '.join(sections)}")
        if not isinstance(tree[name], Mapping):
            raise ConfigError(f"{name} is a section; write {name}.KEY = VALUE")
    return kind(**{name: _section(hints[name], name, tree[name]) for name in tree})


def normal(config: Sections) -> Sections:
    """Convert every value to the type of its field, such as 0 to 0.0, as reading a file does.

    Raises
    ------
    ConfigError
        A value cannot be converted.
    """
    return config_from_dict(config_to_dict(config), type(config))


def config_to_dict(config: "DataclassInstance") -> dict[str, dict[str, Any]]:
    """Give `config` as plain dictionaries, for JSON."""
    return dataclasses.asdict(config)


def changes_from_default(config: Config) -> dict[str, dict[str, Any]]:
    """Give the settings that differ from the defaults, ``{section: {key: value}}``.

    Notes
    -----
    Settings that later versions add are not in it while they have their defaults, so that a hash of
    the result stays the same.
    """
    default = config_to_dict(Config())
    return {
        section: changed
        for section, values in config_to_dict(config).items()
        if (changed := {k: v for k, v in values.items() if v != default[section][k]})
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Give the tables of a TOML file.

    Raises
    ------
    ConfigError
        The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def toml_value(text: str) -> Any:
    """Parse a text as a TOML value; give the text itself if it is not valid TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _section(section: type, name: str, values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(section)
    known = {field.name: hints[field.name] for field in dataclasses.fields(section)}
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown setting {name}.{key}; known: {', '.join(known)}")
    return section(
        **{key: _convert(f"{name}.{key}", value, known[key]) for key, value in values.items()}
    )


def _convert(key: str, value: Any, hint: Any) -> Any:
    """Convert a TOML, JSON or command-line value to the type of its field, or raise."""
    if isinstance(hint, types.UnionType):
        if value is None or value == "none":
            return None
        hint = next(option for option in typing.get_args(hint) if option is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        if isinstance(value, list | tuple):
            return tuple(_convert(key, entry, item) for entry in value)
    elif typing.get_origin(hint) is Mapping:
        item = typing.get_args(hint)[1]
        if isinstance(value, Mapping):
            return {name: _convert(f"{key}.{name}", one, item) for name, one in value.items()}
    elif typing.get_origin(hint) is typing.Literal:
        if isinstance(value, str):
            return value
    elif hint is float and isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:  # an integer that is too large
            raise ConfigError(f"{key}: expected a finite number, found {value!r:.20}…") from error
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{key}: expected {wanted}, found {value!r}")


def _refusal(tree: Mapping[str, Mapping[str, Any]], kind: type[Any]) -> str:
    """Give the error message of `config_from_dict`; "" if it accepts the settings."""
    try:
        config_from_dict(tree, kind)
    except ConfigError as error:
        return str(error)
    return ""


def _parse_assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise ConfigError(f"--set {text}: expected SECTION.KEY=VALUE")
    return key.strip(), toml_value(value)


def _merge(tree: dict[str, dict[str, Any]], section: str, values: Any) -> None:
    """Merge a section of a file into `tree`; a value that is no section is kept, to raise later."""
    if isinstance(values, dict) and isinstance(tree.get(section, {}), dict):
        tree[section] = {**tree.get(section, {}), **values}
    else:
        tree[section] = values


def _put(tree: dict[str, dict[str, Any]], key: str, value: Any) -> None:
    section, _, name = key.partition(".")
    entries = tree.setdefault(section, {})
    if not isinstance(entries, dict):
        raise ConfigError(f"{section} is a section; write {section}.KEY = VALUE")
    entries[name] = value
