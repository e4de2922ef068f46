"""The units of docs/operations: their commands are ours, and their times fit the settings."""

import configparser
import shlex
from pathlib import Path

import pytest

from cab.proxy.cli.flags import make_parser
from cab.proxy.config import ProxySettings

FOLDER = Path(__file__).parents[3] / "docs" / "operations"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / name)
    return parser


@pytest.mark.parametrize("name", ["ExecStartPre", "ExecStart"])
def test_the_service_runs_the_command(name: str) -> None:
    """With flags that it knows."""
    program, *flags = shlex.split(unit("cab-proxy.service")["Service"][name])
    assert Path(program).name == "cab-proxy"
    make_parser().parse_args(flags)


def test_the_service_waits_for_calls_and_hears_the_proxy() -> None:
    """It is notified, reloads by SIGHUP, and kills nothing within the grace time."""
    service = unit("cab-proxy.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["TimeoutStopSec"]) > ProxySettings.model_fields["grace_s"].default
    port = unit("cab-proxy.socket")["Socket"]["ListenStream"]
    fields = ProxySettings.model_fields
    assert port == f"{fields['host'].default}:{fields['port'].default}"
