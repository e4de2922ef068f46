"""SWEEP.toml: what a sweep is made of, read and checked; every error names the file and the key."""

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cab.adapters.runs.spec import TIMEOUT_S
from cab.adapters.sweeps.containers import ContainerTable
from cab.adapters.sweeps.placement import ExecutorTable, ResourcePlan
from cab.adapters.toml_file import BadFile, first_problem, read_toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


class BadSweep(BadFile):
    """A sweep file that cannot be used; names the file, the key and the fix."""


def _dollars(value: object) -> Decimal:
    # A TOML number would be read as a float, which cannot hold 0.1 exactly.
    if not isinstance(value, str) or not _MONEY.fullmatch(value) or not Decimal(value):
        raise ValueError('must be an amount as text above 0, such as "2.50"')
    return Decimal(value)


def _name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError("must be letters, digits, '.', '_' and '-': it names a folder, too")
    return value


def _different(value: object) -> object:
    if isinstance(value, list):
        texts = [str(each) for each in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - of any type
        for each, count in Counter(texts).items():
            if count > 1:
                raise ValueError(f"{each!r} is listed twice; remove one")
    return value  # pyright: ignore[reportUnknownVariableType] - of any type


_Text = Annotated[str, Field(min_length=1)]
_TextOrNone = Annotated[str | None, AfterValidator(lambda text: text or None)]
_Texts = Annotated[list[_Text], Field(min_length=1), BeforeValidator(_different)]
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, strict=False, allow_inf_nan=False)]
_Dollars = Annotated[Decimal, BeforeValidator(_dollars)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CellAllowance(_Table):
    """What may be spent; None is no limit."""

    tokens: _Count | None = None
    """Prompt and completion tokens together."""
    calls: _Count | None = None
    """Model calls; an SDK's repetitions count."""
    usd: _Dollars | None = None
    """US dollars; a counted call without a price uses all of it up."""


class Budget(CellAllowance):
    """What the whole sweep may spend."""

    wall_s: _Seconds | None = None
    """Seconds during which it runs, all its sessions together."""


class SweepFile(_Table):
    """A sweep, as its file declares it. Paths are relative to the file's folder."""

    name: Annotated[str, BeforeValidator(_name)]
    """The sweep's part of each cell id."""
    upstream: _Text | None = None
    """Base URL of the endpoint, or `demo`; without it CAB_ENDPOINT is taken."""
    models: _Texts
    """Models, as the endpoint names them."""
    agents: _Texts
    """Short names of adapters, or their dotted paths."""
    tasks: _Texts
    """Ids of bundled tasks or globs over them (`polyglot/*`); or paths of folders (`./my/task`)."""
    plugins: Annotated[list[_Text], BeforeValidator(_different)] = Field(default_factory=list[str])
    """Files of plugins that all agents get; a bare name is a file in `plugins` beside the sweep's."""
    runs: _Count = 1
    """Runs of each agent, model and task."""
    jobs: _Count = 1
    """Cells that run at the same time."""
    timeout_s: _Seconds = TIMEOUT_S
    """Limit of each agent's run."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a cell that the infrastructure failed is run again."""
    retry_wait_s: Annotated[float, Field(ge=0, strict=False, allow_inf_nan=False)] = 5.0
    """Wait before the first of them; it doubles each time."""
    give_up_after: _Count = 10
    """The sweep ends after this many cells in a row that the infrastructure failed."""
    folder: _Text | None = None
    """Folder of everything that the sweep writes; without it `sweeps/<name>`."""
    ledger: _Text | None = None
    """Folder of the audit log; without it `ledger` in that folder."""
    capture: Literal["off", "bodies"] | None = None
    """`bodies` keeps what each call asked and was answered, in each cell's bundle."""
    seal_key_file: str | None = None
    """Private key (Ed25519, PEM) that signs seals, results and the report; none or "" signs nothing."""
    prices_file: _TextOrNone = None
    """Table of what models cost (TOML, docs/prices.md), for calls of which the endpoint states no price; none or "":
    there is no table."""
    provider: _TextOrNone = None
    """Who sells the tokens, by a name of genai-prices; with none or "" that is told by the endpoint's URL."""
    sandbox: Literal["local", "docker"] = "local"
    """Where agents run: as processes, or in containers, and their checks in others."""
    container: ContainerTable = ContainerTable()
    """How containers are run."""
    budget: Budget = Budget()
    """What the whole sweep may spend."""
    limits: CellAllowance = CellAllowance()
    """What each cell may spend; an agent that reaches it is refused further calls."""
    executor: ExecutorTable = ExecutorTable()
    """Where cells run."""
    resources: ResourcePlan = ResourcePlan()
    """What cells ask for there."""

    @model_validator(mode="after")
    def _fits_where_it_runs(self) -> Self:
        shortest_s, executor = self.resources.shortest_s, self.executor
        if shortest_s is not None and shortest_s < self.timeout_s:
            raise ValueError(
                f"resources: time_s {shortest_s:g} is less than timeout_s {self.timeout_s:g}: agents would be cut off"
            )
        unknown = self.resources.agents.keys() - set(self.agents)
        if unknown:
            raise ValueError(f"resources.agents: {min(unknown)} is not one of `agents`; remove it")
        unknown = self.container.images.keys() - set(self.agents)
        if unknown:
            raise ValueError(f"container.images: {min(unknown)} is not one of `agents`; remove it")
        if not executor.shared and (self.seal_key_file or self.capture == "bodies"):
            raise ValueError(
                "executor: shared = false leaves the ledger and the signing key where nodes cannot read them; "
                "remove seal_key_file and capture, or share the folder"
            )
        return self


def load_sweep(file: Path) -> SweepFile:
    """Return a sweep file's content.

    Raises:
        BadSweep: It cannot be read, or a key of it is unknown, missing or wrong.
    """
    try:
        return SweepFile.model_validate(read_toml(file, BadSweep))
    except FileNotFoundError as error:
        raise BadSweep(file, "does not exist; docs/sweeps.md shows one") from error
    except ValidationError as error:
        parts: dict[str, type[BaseModel]] = {"budget": Budget, "limits": CellAllowance}
        parts |= {"executor": ExecutorTable, "resources": ResourcePlan}
        parts |= {"container": ContainerTable}
        inner = [f"{part}.{key}" for part, model in parts.items() for key in model.model_fields]
        known = [*SweepFile.model_fields, *inner]
        key, reason = first_problem(error, "a sweep file", known)
        raise BadSweep(file, reason, key) from error
