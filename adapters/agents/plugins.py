r"""Plugins: named sets of files, environment and arguments that an agent gets on top of its adapter.

    schema = "cab.plugin/1"
    name = "house-rules"
    tui = ["aider", "codex"]            # agents that it is for; none given: all

    arguments = ["--no-auto-lint"]
    environment = { AIDER_DARK_MODE = "true" }

    [home]                              # files below the run's HOME
    ".aider.conf.yml" = "cache-prompts: true\n"
    [workspace]                         # files that the agent finds in its workspace
    "CONVENTIONS.md" = { file = "conventions.md" }

A cell without plugins shows the agent as its makers ship it ("factory").
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cab.adapters.agents.base import Launch
from cab.adapters.errors import AdapterError, nearest
from cab.adapters.processes.tree import RUN_MARK
from cab.adapters.toml_file import BadFile, first_problem, read_toml

SUFFIX = ".toml"

FACTORY = "factory"
"""Behaviour of an agent without plugins, as on the published cells."""

PLUGGED = "plugins"
"""Behaviour of an agent with at least one."""

_RESERVED = frozenset({"CAB_ENDPOINT", "CAB_KEY", "HOME", RUN_MARK})
_RESERVED_ENDS = (
    "_API_BASE",
    "_API_KEY",
    "_AUTH_TOKEN",
    "_BASE_URL",
    "_PROXY",
)


class BadPlugin(BadFile):
    """A plugin that cannot be used; names the file, the key and the fix."""


class FileSource(BaseModel):
    """A file that lies beside the plugin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Path from the plugin's folder."""


Content = str | FileSource


class Plugin(BaseModel):
    """One plugin, as its file says."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    plugin_schema: Literal["cab.plugin/1"] = Field(alias="schema")
    """Always `cab.plugin/1`."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name that stands in the cell."""
    tui: list[str] | None = None
    """Agents that it is for; None is all."""
    arguments: list[str] = Field(default_factory=list[str])
    """Added after the adapter's own, before a `--`."""
    environment: dict[str, str] = Field(default_factory=dict[str, str])
    home: dict[str, Content] = Field(default_factory=dict[str, Content])
    workspace: dict[str, Content] = Field(default_factory=dict[str, Content])
    """Files in the workspace; they exist before the run, so they are not a change of the agent's."""

    def fits(self, tui: str) -> bool:
        """Tell whether it applies to an agent."""
        return self.tui is None or tui in self.tui


class PluginStack(NamedTuple):
    """The plugins of one cell."""

    applied: tuple[Plugin, ...] = ()
    """Those that are for the agent, in the order given; later ones win."""
    skipped: tuple[Plugin, ...] = ()
    """Those that are for others."""

    @property
    def names(self) -> list[str]:
        """Names of those applied: the published `plugin_stack`."""
        return [plugin.name for plugin in self.applied]

    @property
    def behavior_mode(self) -> str:
        """The published word for how the agent was set up."""
        return PLUGGED if self.applied else FACTORY

    @property
    def environment(self) -> dict[str, str]:
        """Variables of all of them."""
        return {k: v for plugin in self.applied for k, v in plugin.environment.items()}

    @property
    def arguments(self) -> list[str]:
        """Arguments of all of them."""
        return [word for plugin in self.applied for word in plugin.arguments]

    @property
    def home(self) -> dict[str, str]:
        """Files below HOME, and their content."""
        return {k: str(v) for plugin in self.applied for k, v in plugin.home.items()}

    @property
    def workspace(self) -> dict[str, str]:
        """Files in the workspace, and their content."""
        return {k: str(v) for plugin in self.applied for k, v in plugin.workspace.items()}

    @property
    def attrs(self) -> dict[str, object]:
        """Attributes of the published span `applied_plugins`."""
        return {
            "count": len(self.applied) + len(self.skipped),
            "applied": self.names,
            "skipped": [plugin.name for plugin in self.skipped],
            "env_keys": sorted(self.environment),
            "extra_args": self.arguments,
            "applied_count": len(self.applied),
            "skipped_count": len(self.skipped),
        }


def load_stack(given: Iterable[str], folder: Path, tui: str) -> PluginStack:
    """Return the plugins of a cell.

    Args:
        given: Paths of plugin files, or names of files in `folder`, without `.toml`.
        folder: Where plugins with a name only are looked for.
        tui: The agent.

    Raises:
        AdapterError: A plugin does not exist, is not valid, or sets what it must not set.
    """
    plugins = [load_plugin(each, folder) for each in given]
    return PluginStack(
        tuple(plugin for plugin in plugins if plugin.fits(tui)),
        tuple(plugin for plugin in plugins if not plugin.fits(tui)),
    )


def load_plugin(given: str, folder: Path) -> Plugin:
    """Return one plugin, its files read.

    Raises:
        AdapterError: As for `load_stack`.
    """
    path = _path_of(given, folder)
    try:
        plugin = Plugin.model_validate(read_toml(path, BadPlugin))
        files = {
            "home": _read_all(plugin.home, path.parent),
            "workspace": _read_all(plugin.workspace, path.parent),
        }
    except OSError as error:
        raise BadPlugin(
            path, f"{error.filename or path}: {error.strerror or 'no such file'}"
        ) from error
    except ValidationError as error:
        key, reason = first_problem(error, "a plugin", Plugin.model_fields)
        raise BadPlugin(path, reason, key) from error
    except ValueError as error:
        raise BadPlugin(path, str(error)) from error
    plugin = plugin.model_copy(update=files)
    for name in plugin.environment:
        _require_free(name, path)
    return plugin


def with_plugins(launch: Launch, stack: PluginStack, *, key: str, base_url: str) -> Launch:
    """Return how to start an agent with its plugins.

    Args:
        launch: As the adapter has it.
        stack: The plugins.
        key: The cell's key.
        base_url: Where model calls go.

    Raises:
        AdapterError: A plugin would replace a variable that holds the key or the base URL, or a
            file that the adapter writes.
    """
    for name in stack.environment:
        value = launch.env.get(name, "")
        if key in value or base_url in value:
            raise AdapterError(f"a plugin may not set {name}, which says where the calls go")
    taken = sorted(set(stack.home) & set(launch.files))
    if taken:
        raise AdapterError(f"a plugin may not replace {taken[0]}, which the adapter writes")
    return Launch(
        argv=_with_arguments(launch.argv, stack.arguments),
        env={**launch.env, **stack.environment},
        files={**launch.files, **stack.home},
    )


def write_workspace(stack: PluginStack, workdir: Path) -> None:
    """Put the plugins' files into a workspace.

    Raises:
        AdapterError: The task has a file of that name.
    """
    for name, content in stack.workspace.items():
        target = workdir / name
        if target.exists():
            raise AdapterError(f"a plugin may not replace {name}, which belongs to the task")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def _with_arguments(argv: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    # After `--` everything is part of the prompt.
    end = argv.index("--") if "--" in argv else len(argv)
    return (*argv[:end], *extra, *argv[end:])


def _path_of(given: str, folder: Path) -> Path:
    if given.endswith(SUFFIX) or "/" in given:
        return Path(given)
    path = folder / f"{given}{SUFFIX}"
    if path.is_file():
        return path
    known = [each.stem for each in sorted(folder.glob(f"*{SUFFIX}"))]
    near = nearest(given, known)
    hint = (
        f"did you mean {near!r}?" if near else f"give the path of a file, or put it into {folder}/"
    )
    raise AdapterError(f"no plugin {given!r}; {hint}")


def _read_all(files: Mapping[str, Content], beside: Path) -> dict[str, str]:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"{name!r} is outside its folder")
    return {name: _read(content, beside) for name, content in files.items()}


def _read(content: Content, beside: Path) -> str:
    return content if isinstance(content, str) else (beside / content.file).read_text()


def _require_free(name: str, path: Path) -> None:
    if name in _RESERVED or name.upper().endswith(_RESERVED_ENDS):
        raise BadPlugin(path, f"may not set {name}, which says where the calls go", "environment")
