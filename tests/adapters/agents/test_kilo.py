"""Kilo: its command line and configuration, and its own token count, which is opencode's."""

import orjson
import pytest

from cab.adapters.agents.kilo import Kilo
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import (
    MODEL,
    URL,
    printed,
    run_of,
)

CONFIG = ".config/kilo/kilo.json"


def test_headless() -> None:
    """One prompt that cannot be taken for an option, one model, and nobody is asked."""
    launch = Kilo().launch(run_of("--help"))
    assert launch.argv == (
        *("/agents/agent", "run", "--model", f"cab/{MODEL}"),
        *("--format", "json", "--auto", "--", "--help"),
    )
    assert launch.env["KILO_CONFIG"].endswith(CONFIG)


def test_one_model_at_one_place() -> None:
    """Work and titles go to the same model of the one provider; the key is in the environment."""
    launch = Kilo().launch(run_of())
    config = orjson.loads(launch.files[CONFIG])
    assert config["model"] == config["small_model"] == f"cab/{MODEL}"
    assert config["enabled_providers"] == ["cab"]
    assert config["provider"]["cab"]["options"]["baseURL"] == f"{URL}/v1"


def test_no_other_hosts() -> None:
    """Telemetry, updates, lists of models and sharing are off."""
    env = Kilo().launch(run_of()).env
    assert env["KILO_TELEMETRY_LEVEL"] == "off"
    for name in ("AUTOUPDATE", "MODELS_FETCH", "SHARE", "SESSION_INGEST", "PRESENCE"):
        assert env[f"KILO_DISABLE_{name}"] == "1"


def test_a_fault_names_the_agent() -> None:
    """The reader is shared with opencode; the error says whose words they were."""
    with pytest.raises(BadSelfReport, match="kilo"):
        Kilo().self_report(printed('{"type": "step_finish"}'))
