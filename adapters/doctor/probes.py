"""The probes: what goes wrong at the endpoint, or at the proxy, during one run of an agent."""

from typing import NamedTuple

from cab.adapters.doctor.diagnosis import LONG_TASK, NORMAL, SEVERAL_FILES
from cab.proxy.accounting.limits import KeyLimits


class DoctorProbe(NamedTuple):
    """One run of an agent."""

    name: str
    """Short name, for the command line."""
    title: str
    """Heading of its column."""
    fault_mode: str | None = None
    """What goes wrong at the fake endpoint, as `running_demo` takes it; None is nothing."""
    limits: KeyLimits | None = None
    """What the cell's key allows; None is no limit."""
    fails: bool = True
    """Whether a request should fail, if the agent makes enough of them."""
    task: str = "polyglot/python-error-handling"
    """What the agent is asked to do; one file to fix."""


_ALL = (
    DoctorProbe(NORMAL, "normal", fails=False),
    DoctorProbe(SEVERAL_FILES, "several files", fails=False, task="mutations/python-shop-invoices"),
    DoctorProbe(LONG_TASK, "long task", fails=False, task="polyglot/python-cron"),
    DoctorProbe("unauthorized", "401", fault_mode="unauthorized"),
    DoctorProbe("rate_limited", "429", fault_mode="rate_limited"),
    DoctorProbe("server_error", "500", fault_mode="server_error"),
    DoctorProbe("cut_stream", "cut stream", fault_mode="cut_stream"),
    DoctorProbe("slow_stream", "slow stream", fault_mode="slow_stream", fails=False),
    DoctorProbe("budget", "budget", fault_mode="budget"),
    DoctorProbe("limit", "limit", limits=KeyLimits(max_calls=1)),
)
PROBES = {probe.name: probe for probe in _ALL}
"""All of them by name, in the order in which they are run."""
