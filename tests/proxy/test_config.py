import re
import tomllib
from pathlib import Path

import pytest

from cab.proxy.config import ProxySettings, Route, is_loopback, load_settings, parse_settings
from cab.proxy.errors import BadConfig

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_example_loads_and_states_the_defaults() -> None:
    """config.example.toml loads, and what it sets is what a proxy does without it."""
    settings = load_settings(EXAMPLE, {})
    assert settings == ProxySettings(upstream="http://127.0.0.1:8000/v1")


def test_example_documents_every_setting() -> None:
    """Every setting stands in config.example.toml, set or as a comment."""
    top, mark, routes = EXAMPLE.read_text().partition("# [[routes]]")
    named = set(re.findall(r"^(?:# )?(\w+) = ", top, re.MULTILINE))
    named |= set(re.findall(r"^\[(\w+)\]", top, re.MULTILINE)) | {mark[4:-2]}
    assert set(re.findall(r"^# (\w+) = ", routes, re.MULTILINE)) == set(Route.model_fields)
    assert named == set(ProxySettings.model_fields)


def test_every_commented_setting_of_the_example_is_valid() -> None:
    """Taking the comment sign off a setting of the example gives a file that loads."""
    text = re.sub(r"^# (\w+ = |\[\[)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    settings = parse_settings(tomllib.loads(text), "example")
    assert settings.headers_timeout_s == 1200
    assert [route.models for route in settings.routes] == [
        ["anthropic/*", "meta-llama/*"],
        ["gpt-*"],
    ]


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """A flag beats the same setting in the file; the others stay."""
    file = tmp_path / "cab.toml"
    file.write_text('upstream = "http://a"\nport = 1\ngrace_s = 3\n')
    settings = load_settings(file, {"port": 2})
    assert (settings.port, settings.grace_s) == (2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'upstream = "http://a"\nlegder = "x"',
            "{file}: unknown setting 'legder'; did you mean 'ledger'?",
        ),
        (
            'upstream = "http://a"\nzzzzzz = 1',
            "{file}: unknown setting 'zzzzzz'; config.example.toml lists all settings",
        ),
        (
            'upstream = "http://a"\nport = 70000',
            "{file}: port: Input should be less than or equal to 65535",
        ),
        (
            'upstream = "ftp://a"',
            "{file}: upstream: 'ftp://a' is no http(s) URL; give one, or 'demo'",
        ),
        (
            'upstream = "http://a/v1?x=1"',
            "{file}: upstream: 'http://a/v1' has a query or fragment; give the base URL only",
        ),
        (
            "upstream",
            "config {file} is no TOML: Expected '=' after a key in a key/value pair (at end of document)",
        ),
        ("port = 1", "no upstream; give --upstream URL, or --upstream demo for a first look"),
    ],
)
def test_a_bad_file_is_named_with_the_setting(tmp_path: Path, text: str, message: str) -> None:
    """A bad setting gives one line that names the file, the setting and the mend."""
    file = tmp_path / "cab.toml"
    file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        load_settings(file, {})
    assert str(caught.value) == message.format(file=file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A config file that is not there is named."""
    file = tmp_path / "none.toml"
    with pytest.raises(BadConfig, match=r"none\.toml cannot be read: No such file"):
        load_settings(file, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_keys_are_required(host: str) -> None:
    """A listener that others can reach refuses to start without keys, unless told so."""
    with pytest.raises(BadConfig, match=f"host {re.escape(host)} can be reached"):
        parse_settings({"upstream": "demo", "host": host}, "command line")
    assert parse_settings({"upstream": "demo", "host": host, "auth": "keys"}, "x").host == host
    assert parse_settings({"upstream": "demo", "host": host, "allow_open": True}, "x").host == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_recognised(host: str) -> None:
    """The loopback range counts as this machine only."""
    assert is_loopback(host)
