"""The table `[container]` of a sweep file: images, engine and limits of cells whose sandbox is a container."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cab.adapters.agents.base import AgentFacts
from cab.adapters.errors import AdapterError
from cab.adapters.runs.spec import check_image_of, installed_in_image
from cab.adapters.sandboxes.check_container import CHECKS_FIX
from cab.adapters.sandboxes.deviations import require_allowed
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.engine import find_engine
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.sandboxes.leftovers import remove_leftovers
from cab.adapters.sandboxes.limits import CONTAINER_NAMES, ResourceLimits, parse_limits
from cab.adapters.tasks.models import Task
from cab.scoring.cells.cell import RequestedResources


def _image(name: str) -> str | None:
    try:
        return str(parse_image(name).reference) if name else None
    except AdapterError as error:
        raise ValueError(str(error)) from error


def _allowed(words: list[str]) -> list[str]:
    try:
        return sorted(require_allowed(words))
    except AdapterError as error:
        raise ValueError(str(error)) from error


def _limits(table: object) -> object:
    if not isinstance(table, dict):
        return table
    amounts: dict[str, Any] = table  # pyright: ignore[reportUnknownVariableType] - of any type
    known = [name.replace("_", "-") for name in CONTAINER_NAMES]
    unknown = sorted(str(name) for name in amounts if name not in known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a limit of containers; known: {', '.join(known)}")
    try:
        parse_limits(f"{name}={value}" for name, value in amounts.items())
    except AdapterError as error:
        raise ValueError(str(error).removeprefix("--limit ")) from error
    return {name: str(value) for name, value in amounts.items()}


_Image = Annotated[str, AfterValidator(_image)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class JobContainer(_Table):
    """The container of one cell, as its worker gets it."""

    engine: str | None = None
    image: str | None = None
    checks_image: str | None = None
    deviations: list[str] = Field(default_factory=list[str])
    limits: list[str] = Field(default_factory=list[str])
    """As the option `--limit` takes them."""

    def wanted(self) -> Container:
        """Return what the runner is given."""
        return Container(
            image=self.image,
            engine=self.engine,
            checks_image=self.checks_image,
            deviations=tuple(self.deviations),
        )

    def resource_limits(self) -> ResourceLimits:
        """Return the limits of the agent and of each command of the checks."""
        return parse_limits(self.limits)


async def require_images(
    table: "ContainerTable",
    agents: Mapping[str, AgentFacts],
    tasks: Iterable[Task],
) -> list[str]:
    """Make sure that all images of a sweep are on this machine; those that a registry has are pulled.

    What a killed sweep left in the engine is removed, too.

    Args:
        table: How its containers are run.
        agents: The agents by the names that the sweep file gives them.
        tasks: The tasks.

    Returns:
        Names of the containers and networks that were removed.

    Raises:
        AdapterError: There is no engine, or an image is not there.
    """
    engine = await find_engine(table.engine or None)
    removed = await remove_leftovers(engine)
    nothing = RequestedResources()
    for name, facts in agents.items():
        _, images = installed_in_image(facts, table.job(name, nothing).wanted())
        await engine.find_image(images, f"build it with: cab images build {facts.name}")
    wanted = table.job("", nothing).wanted()
    for image in {check_image_of(task, wanted) for task in tasks} - {None}:
        assert image is not None  # None is no member
        await engine.find_image([image], CHECKS_FIX)
    return removed


class ContainerTable(_Table):
    """How the containers of a sweep are run."""

    engine: Literal["", "docker", "podman"] = ""
    """Program that runs them; "" takes docker, otherwise podman."""
    images: dict[str, _Image] = Field(default_factory=dict[str, str])
    """Image by the agent's name in `agents`; of others it is what `cab images build` made, or the published one."""
    checks_image: _Image | None = None
    """Image for the checks of tasks that name none; none or "" is what `cab images build checks` made."""
    deviations: Annotated[list[str], AfterValidator(_allowed)] = Field(default_factory=list[str])
    """Words of what the images need, as for `--deviate`."""
    limits: Annotated[dict[str, str], BeforeValidator(_limits)] = Field(
        default_factory=dict[str, str]
    )
    """Limits by name, as for `--limit`: `memory = "4g"`, `cpus = 2`."""

    def job(self, tui: str, requested: RequestedResources) -> JobContainer:
        """Return the container of a cell; what the cell asks of a cluster is its limit, too.

        Args:
            tui: The agent, as the sweep file names it.
            requested: What the cell asks for where it runs.
        """
        asked = {"cpus": requested.cpus, "memory": requested.memory_bytes}
        words = {name: str(value) for name, value in asked.items() if value is not None}
        words |= self.limits
        return JobContainer(
            engine=self.engine or None,
            image=self.images.get(tui),
            checks_image=self.checks_image,
            deviations=self.deviations,
            limits=[f"{name}={value}" for name, value in words.items()],
        )
