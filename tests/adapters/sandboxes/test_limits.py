"""Resource limits."""

import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.sandboxes.limits import CONTAINER_NAMES, LOCAL_NAMES, ResourceLimits, parse_limits


def test_defaults() -> None:
    """By default addresses are not limited, and no core file is left behind."""
    limits = ResourceLimits()

    assert "RLIMIT_AS" not in limits.rlimits
    assert limits.rlimits["RLIMIT_CORE"] == limits.ulimits["core"] == 0
    assert set(limits.rlimits) == {
        *("RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE")
    }
    assert set(limits.ulimits) == {"core", "cpu", "fsize", "nofile"}


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("cpu-s=60", "cpu_s", 60),
        ("file=2k", "file", 2048),
        ("memory=1.5G", "memory", 3 << 29),
        ("address-space=8g", "address_space", 8 << 30),
        ("cpus=1.5", "cpus", 1.5),
        ("cpus=2", "cpus", 2),
        ("processes=off", "processes", None),
        ("open-files=0.1", "open_files", 1),
    ],
)
def test_set_anew(word: str, name: str, value: float | None) -> None:
    """A limit is set by its name, in units for people, or taken away; the others stay."""
    limits = parse_limits([word])

    assert getattr(limits, name) == value
    other = "file" if name != "file" else "cpu_s"
    assert getattr(limits, other) == getattr(ResourceLimits(), other)


def test_the_last_word_holds() -> None:
    """Of two words for one limit the later one holds; given limits are what they start from."""
    assert parse_limits(["cpu-s=1", "cpu-s=2"]).cpu_s == 2
    assert parse_limits([], ResourceLimits(cpu_s=9)).cpu_s == 9


@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1x", "off!", "nan", "1e3", "99999999t"])
def test_no_amount(value: str) -> None:
    """A value that is not an amount is refused, and named."""
    with pytest.raises(AdapterError, match=f"--limit memory={value} is not an amount"):
        parse_limits([f"memory={value}"])


def test_unknown() -> None:
    """A limit that is not known is refused, with the one that was probably meant."""
    with pytest.raises(AdapterError, match="did you mean 'memory'"):
        parse_limits(["memry=1"])
    with pytest.raises(AdapterError, match="known: address-space, cpu-s"):
        parse_limits(["zzz=1"])


@pytest.mark.parametrize("names", [LOCAL_NAMES, CONTAINER_NAMES])
def test_whether_any_holds(names: tuple[str, ...]) -> None:
    """Limits that are all off hold nothing."""
    assert ResourceLimits().holds(names)
    assert not parse_limits(f"{name.replace('_', '-')}=off" for name in names).holds(names)
