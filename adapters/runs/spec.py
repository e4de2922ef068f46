"""What one cell is made of: as requested, and once every name is looked up."""

import importlib.metadata
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cab.adapters.agents.base import Adapter, AgentFacts
from cab.adapters.agents.plugins import PluginStack, load_stack
from cab.adapters.agents.registry import load_adapter
from cab.adapters.errors import AdapterError
from cab.adapters.install.install import Installed, require_installed
from cab.adapters.runs.bundle import LEDGER_FOLDER, require_free
from cab.adapters.sandboxes import deviations, docker, local
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.images import (
    CHECKS,
    Image,
    built_image,
    parse_image,
    published_image,
)
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.adapters.tasks.loader import Task, load_task
from cab.adapters.tasks.needs import missing_needs
from cab.proxy.auth.cell_keys import CellKeys
from cab.scoring.cells.cell import RequestedResources
from cab.scoring.ids import CellId
from cab.scoring.ledger.records import Endpoint

TIMEOUT_S = 600.0
"""Limit of an agent's run, as on the published cells."""

KEY_MARGIN_S = 3600
"""A cell may take this much longer than its agent, and its key lives as long: for the set-up, the end of the
agent, the seal, which waits for calls in flight, the trees (twice `LOOK_S`), the checks and the cleanup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSpec:
    """One cell to run."""

    tui: str
    """Short name of an adapter, or its dotted path."""
    model: str
    """Model as the endpoint names it."""
    task: str
    """Id of a bundled task, or the path of a task's folder."""
    dialect: str | None = None
    """Endpoint that the agent calls, one of those that it speaks; None is the first of them."""
    upstream: str | None = None
    """Base URL of the endpoint, or `demo`; None where a proxy is given."""
    upstream_key: str | None = field(default=None, repr=False)
    """The endpoint's key; the agent never sees it."""
    exposed: tuple[str, ...] = ()
    """Words of deviations: where agents can find the endpoint's key all the same."""
    proxy: str | None = None
    """URL of a proxy that runs already; None runs one for the cell."""
    control: str | None = None
    """Where a given proxy's control API is; None is the same URL."""
    signing_key: str | None = field(default=None, repr=False)
    """What a given proxy checks cell keys with."""
    cell_keys: CellKeys | None = field(default=None, repr=False)
    """A given proxy's key for this cell, instead of the signing key: then that stays where it is."""
    seal_key_file: Path | None = None
    """Private key that signs the result, and the seal of the embedded proxy; None signs nothing."""
    prices_file: Path | None = None
    """Table of what models cost, for the embedded proxy."""
    provider: str | None = None
    """Who sells the tokens, by a name of genai-prices; None: whoever has the endpoint's URL there."""
    ledger: Path | None = None
    """Folder of the embedded proxy's audit log; None puts it into the bundle."""
    capture: bool = False
    """Have the embedded proxy keep the bodies of calls; they go into the bundle."""
    capture_ledger: Path | None = None
    """Ledger of a given proxy on this machine that keeps them; None where it keeps none, or is elsewhere."""
    runs: Path = Path("runs")
    sweep: str = "local"
    """Named batch that the cell belongs to."""
    run: int | None = None
    """Number of the run, where a cell has several."""
    timeout_s: float = TIMEOUT_S
    """Limit of the agent's run."""
    force: bool = False
    """Replace a complete cell."""
    keep_workspace: bool = False
    keep_scratch: bool = False
    """Whether the patch holds the agent's own scratch files too, such as its chat history."""
    """Keep the agent's folders after the run."""
    sandbox: str = local.NAME
    """Where the agent runs: `local` or `docker`."""
    container: Container = field(default_factory=Container)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    terminal: bool = False
    """Let the agent write to terminals, as for a person, instead of pipes."""
    plugins: tuple[str, ...] = ()
    """Files of plugins, or names of those in `plugins_folder`."""
    plugins_folder: Path = Path("plugins")
    """Where plugins are looked for by name."""
    node: str | None = None
    """The machine of a cluster that it runs on, to be recorded; None where there is no cluster."""
    requested: RequestedResources | None = None
    """What was asked of the cluster, to be recorded; None where nothing was."""

    @property
    def is_relayed(self) -> bool:
        """Whether a container in a network of its own is to reach a proxy that runs elsewhere."""
        given = self.proxy is not None and self.container.network is None
        return self.sandbox == docker.NAME and given

    @property
    def key_ttl_s(self) -> int:
        """Seconds that the cell's key lives."""
        return int(self.timeout_s) + KEY_MARGIN_S


class CellPlan(NamedTuple):
    """A cell with all its parts looked up."""

    spec: CellSpec
    adapter: Adapter
    installed: Installed
    task: Task
    cell: CellId
    bundle: Path
    plugins: PluginStack = PluginStack()
    images: tuple[Image, ...] = ()
    """Images that the agent can run in, the best one first; empty where it runs on this machine."""
    check_image: Image | None = None
    """Image that the checks run in; None where they run on this machine, or run nothing."""
    dialect: Endpoint | None = None

    @property
    def name(self) -> str:
        """Short name of the agent."""
        return self.adapter.facts.name

    @property
    def in_container(self) -> bool:
        """Whether the agent runs in a container."""
        return bool(self.images)

    @property
    def agent_version(self) -> str | None:
        """Version of the agent; None in a container, where only the image knows."""
        return None if self.in_container else self.installed.version

    @property
    def scratch_name(self) -> str:
        """Part of the name of the run's temporary folder, for people who look for it."""
        return f"{self.name}-{self.task.id.replace('/', '_')}"

    @property
    def ledger(self) -> Path:
        """Folder of the embedded proxy's audit log."""
        return self.spec.ledger or self.bundle / LEDGER_FOLDER


def plan_cell(spec: CellSpec) -> CellPlan:
    """Return a cell with all its parts looked up; nothing is written and nothing is started.

    Raises:
        AdapterError: An agent, a task or a program is unknown or missing, options contradict each
            other, or the cell exists already.
        BadCellId: A part of the cell's id cannot be a folder.
    """
    _check_options(spec)
    adapter, task = load_adapter(spec.tui), load_task(spec.task)
    dialect = choose_dialect(adapter.facts, spec.dialect)
    family, _, name = task.id.partition("/")
    cell = CellId(spec.sweep, adapter.facts.name, spec.model, family, name, spec.run)
    bundle = spec.runs / str(cell)
    require_free(bundle, spec.force)
    check_image = None
    if spec.sandbox == docker.NAME:
        installed, images = installed_in_image(adapter.facts, spec.container)
        check_image = check_image_of(task, spec.container)
    else:
        installed, images = require_installed(adapter.facts), ()
    missing = missing_needs(task) if check_image is None else []
    if missing:
        raise AdapterError(missing[0])
    plugins = load_stack(spec.plugins, spec.plugins_folder, adapter.facts.name)
    return CellPlan(
        spec, adapter, installed, task, cell, bundle, plugins, images, check_image, dialect
    )


def check_image_of(task: Task, wanted: Container) -> Image | None:
    """Return the image that a task's checks run in beside an agent in a container.

    Returns:
        The image; None if they run on this machine, as that was asked for, or run nothing.

    Raises:
        AdapterError: A name is not that of an image.
    """
    runs_nothing = task.check.command is None and task.check.probe is None
    if runs_nothing or deviations.HOST_CHECKS in wanted.deviations:
        return None
    name = task.check.image or wanted.checks_image
    return checks_image() if name is None else parse_image(name)


def checks_image() -> Image:
    """Return the image that `cab images build checks` of this version makes."""
    return built_image(CHECKS, importlib.metadata.version("coding-agent-bench"))


def choose_dialect(facts: AgentFacts, wanted: str | None) -> Endpoint | None:
    """Return the endpoint that an agent is to call; None where that is left to its adapter.

    Raises:
        AdapterError: The agent does not speak it.
    """
    for dialect in facts.dialects:
        if dialect == wanted:
            return dialect
    if wanted is None:
        return None
    raise AdapterError(
        f"{facts.name} does not speak {wanted!r}; it speaks {', '.join(facts.dialects)}"
    )


def installed_in_image(facts: AgentFacts, wanted: Container) -> tuple[Installed, tuple[Image, ...]]:
    """Return what starts an agent in its image, and the images that have it."""
    if facts.install is None:  # it comes with this package, and needs nothing but Python
        installed, built = Installed(Path("python3"), facts.version), checks_image()
    else:
        installed = Installed(Path(facts.install.executable), facts.version)
        built = built_image(facts.name, facts.version)
    if wanted.image is not None:
        return installed, (published_image(wanted.image, facts.version),)
    published = [] if facts.image is None else [published_image(facts.image, facts.version)]
    return installed, (built, *published)


def _check_options(spec: CellSpec) -> None:
    if spec.proxy is not None:
        for name in ("upstream", "ledger", "prices_file", "provider"):
            if getattr(spec, name) is not None:
                raise AdapterError(
                    f"--{name.replace('_', '-')} cannot be used with --proxy, which has its own; remove one of the two"
                )
        if spec.capture:
            raise AdapterError(
                "--capture cannot be used with --proxy: what that proxy keeps lies beside its own ledger; "
                "start it with --capture bodies, and remove --capture here"
            )
    elif spec.cell_keys is not None:
        raise AdapterError("a cell's keys are for a running proxy; give its URL too")
    elif spec.control is not None:
        raise AdapterError("--control is for a running proxy; add its URL with --proxy")
    elif spec.upstream is None:
        raise AdapterError(
            "no endpoint; set CAB_ENDPOINT, or give --upstream URL (demo for a first look)"
        )
    _check_sandbox(spec)
    if not (spec.timeout_s > 0 and math.isfinite(spec.timeout_s)):
        raise AdapterError(f"--timeout-s {spec.timeout_s:g} is not above 0, or is not finite")
    if spec.ledger is not None and spec.ledger.exists() and not _is_writable(spec.ledger):
        raise AdapterError(f"ledger {spec.ledger} cannot be used; give another with --ledger")


def _check_sandbox(spec: CellSpec) -> None:
    deviations.require_allowed(spec.container.deviations)
    if spec.sandbox == local.NAME:
        if spec.container != Container():
            raise AdapterError(
                "--image, --checks-image, --network, --engine and --deviate are for containers; add --sandbox docker"
            )
        return
    if spec.sandbox != docker.NAME:
        raise AdapterError(f"no sandbox {spec.sandbox!r}; known: {local.NAME}, {docker.NAME}")
    if spec.terminal:
        raise AdapterError(
            "--terminal is for the local sandbox: a container's terminal mixes output and messages"
        )
    if spec.is_relayed and urlsplit(spec.proxy or "").scheme == "https":
        raise AdapterError(
            f"a container reaches {spec.proxy}, whose certificate is for that address, only in a network that "
            "leads there; give it with --network"
        )


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)
