"""Where `cab-proxy` takes its settings from: flags, the environment, a TOML file.

Only this command reads the environment: a proxy inside another program has the settings that it was given,
and variables inside an agent's image configure nothing.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from cab.proxy.cli.flags import PREFIX, flag_of, variable_of
from cab.proxy.config import ProxySettings, validate_settings
from cab.proxy.errors import BadConfig, nearest

CONFIG_VARIABLE = "CAB_CONFIG"
"""Names the file where the flag --config does not."""

_NO_UPSTREAM = (
    "no upstream; give --upstream URL or set CAB_UPSTREAM, or use --upstream demo for a first look"
)
_READ_TOO = frozenset(
    {CONFIG_VARIABLE, "CAB_KEY", "CAB_SIGNING_KEY", "CAB_ADMIN_TOKEN", "CAB_METRICS_TOKEN"}
)
"""Variables that `cab-proxy` reads and that are not settings; a misspelt one is a mistake too."""
_OF_OTHERS = frozenset(
    {
        *("CAB_CELL_KEY", "CAB_ENDPOINT", "CAB_MODEL", "CAB_CONTROL"),
        *("CAB_AGENT_FOLDER", "CAB_BUILD_FILES", "CAB_BUILD_WHEELS", "CAB_BUILD_NETWORK"),
    }
)
"""What the command `cab` and images read."""
_LIKENESS = 0.8
"""A variable that is so much like that of a setting is taken for a mistake."""


class ConfigFile:
    """The file of settings, which can be read again: of a pipe, what it held is kept."""

    def __init__(self) -> None:
        self._piped: dict[Path, dict[str, Any]] = {}
        self._was_read = False

    def read(self, file: Path) -> dict[str, Any]:
        """Return what a file states.

        Raises:
            BadConfig: It cannot be read, is not valid TOML, or a pipe has taken its place.
        """
        is_again, self._was_read = self._was_read, True
        if file in self._piped:
            return self._piped[file]
        if file.is_file() or not file.exists():
            return _read_toml(file)
        if is_again:  # to open it may take for ever
            raise BadConfig(f"config {file} is not a regular file any more; put the settings there")
        found = self._piped[file] = _read_toml(file)
        return found


def load_settings(
    file: Path | None,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    config: ConfigFile | None = None,
) -> ProxySettings:
    """Return the settings of a file, with those of the environment on top, and flags on top of both.

    A setting comes from one place as a whole: routes and encodings of two places are not merged.

    Args:
        file: A TOML file; None is the one that `CAB_CONFIG` names, or none.
        flags: Setting names and values that were given on the command line.
        environment: Variables; an empty one counts as not set.
        config: Reads the file, if it is to be read again later.

    Raises:
        BadConfig: The file cannot be read, or a setting is unknown, missing or wrong.
    """
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    in_file = {} if file is None else (config or ConfigFile()).read(file)
    in_environment = _read_environment(environment)
    places = {
        **{name: f"{file}: {name}" for name in in_file},
        **{name: variable_of(name) for name in in_environment},
        **{name: flag_of(name) for name in flags},
    }
    values = {**in_file, **in_environment, **flags}
    _refuse_misspelt(environment, values)
    return validate_settings(values, lambda name: places.get(name, name), _NO_UPSTREAM)


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    if not any(environment.get(variable_of(name)) for name in ProxySettings.model_fields):
        return {}
    from cab.proxy.cli.environment import EnvironmentSource  # noqa: PLC0415 - it takes long

    return EnvironmentSource(environment)()


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            return tomllib.load(handle)
    except OSError as error:
        raise BadConfig(f"config {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"config {file} is not valid TOML: {error}") from error


def _refuse_misspelt(environment: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Refuse variables that are nearly one of ours; any other program may own the rest.

    Raises:
        BadConfig: There is one.
    """
    keys = {values.get("upstream_key_env"), *_route_key_variables(values.get("routes"))}
    ours = {*map(variable_of, ProxySettings.model_fields), *_READ_TOO}
    names = {variable.removeprefix(PREFIX) for variable in ours}
    for variable in sorted(environment.keys() - ours - _OF_OTHERS - keys):
        if not variable.startswith(PREFIX):
            continue
        whole, nested, _ = variable.partition("__")
        if nested and whole in ours:
            raise BadConfig(
                f"{variable} is not a setting: a part of one has no variable; "
                f"set {whole}, with JSON where it is a list or a table"
            )
        near = nearest(variable.removeprefix(PREFIX), names, _LIKENESS)
        if near is not None:
            raise BadConfig(
                f"{variable} is not a variable of cab-proxy; did you mean {PREFIX}{near}? "
                "If not, unset it"
            )


def _route_key_variables(routes: object) -> Iterator[object]:
    """Yield the variables that hold keys of routes; the routes are not checked yet."""
    for route in cast("list[object]", routes) if isinstance(routes, list) else ():
        if isinstance(route, dict):
            yield cast("dict[str, object]", route).get("key_env")
