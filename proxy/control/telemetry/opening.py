"""Opens the export where somebody wants it; who does not want it loads nothing of it."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.redaction import Redactor

if TYPE_CHECKING:
    from cab.proxy.control.telemetry.export import OtlpExport
    from cab.proxy.control.telemetry.target import OtlpTarget

_PREFIX = "OTEL_"


def variables_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of an environment that are OpenTelemetry's."""
    return {name: text for name, text in environment.items() if name.startswith(_PREFIX) and text}


def wanted_target(settings: ProxySettings, variables: Mapping[str, str]) -> "OtlpTarget | None":
    """Return where spans and metrics go; None if nobody wants them.

    Raises:
        BadConfig: A value cannot be used.
    """
    if settings.otel_endpoint is None and not any(name.endswith("ENDPOINT") for name in variables):
        return None
    from cab.proxy.control.telemetry.target import otlp_target  # noqa: PLC0415 - few want it

    return otlp_target(settings, variables)


def check_target(target: "OtlpTarget | None") -> None:
    """Return if spans can be sent to a target, as far as can be told without asking it.

    Raises:
        BadConfig: The receiver's certificates cannot be read.
    """
    if target is None:
        return
    from cab.proxy.control.telemetry.delivery import receiver_tls  # noqa: PLC0415 - few want it

    for signal in filter(None, (target.traces, target.metrics)):
        receiver_tls(signal)


def secrets_of(target: "OtlpTarget | None") -> tuple[str, ...]:
    """Return what no record and no log line may hold."""
    return () if target is None else tuple(target.secrets())


@asynccontextmanager
async def running_export(  # noqa: PLR0913 - it is put together in one place
    target: "OtlpTarget | None",
    settings: ProxySettings,
    worker: int,
    clock: Clock,
    model_label: Callable[[str | None], str],
    held: Redactor,
) -> AsyncGenerator["OtlpExport | None"]:
    """Export the calls that end while the context is open; None if there is no target.

    Args:
        target: As `wanted_target` gives it.
        settings: The proxy's; the ledger is open.
        worker: Whose chain of the ledger it is.
        clock: What time it is.
        model_label: Gives the names of models in metrics.
        held: Redacts what the proxy must not write.

    Raises:
        BadConfig: The receiver's certificates cannot be read.
    """
    if target is None:
        yield None
        return
    from cab.proxy.control.telemetry.export import OtlpExport  # noqa: PLC0415 - few want it

    export = OtlpExport(target, settings.ledger, worker, clock, model_label, held)
    async with export.running():
        yield export
