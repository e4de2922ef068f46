import re
import tomllib
from pathlib import Path

import pytest

from cab.proxy.cli.sources import load_settings
from cab.proxy.config import SETTING_GROUPS, ProxySettings, Route, is_loopback, parse_settings
from cab.proxy.errors import BadConfig

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def test_example_loads_and_states_the_defaults() -> None:
    """config.example.toml loads, and what it sets is what a proxy does without it."""
    settings = load_settings(EXAMPLE, {}, {})
    assert settings == ProxySettings(upstream="http://127.0.0.1:8000/v1")


def test_example_documents_every_setting() -> None:
    """Every setting is in config.example.toml, set or as a comment."""
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'upstream = "http://a"\nlegder = "x"',
            "{file}: legder: unknown setting; did you mean 'ledger'?",
        ),
        (
            'upstream = "http://a"\nzzzzzz = 1',
            "{file}: zzzzzz: unknown setting; docs/settings.md lists all settings",
        ),
        ('upstreem = "http://a"', "{file}: upstreem: unknown setting; did you mean 'upstream'?"),
        (
            'upstream = "http://a"\n[[routes]]\nmodel = ["x"]\nupstream = "http://b"',
            "{file}: routes.0.model: unknown setting; did you mean 'models'?",
        ),
        (
            'upstream = "http://a"\n[[routes]]\nmodels = ["x"]\nupstreem = "http://b"',
            "{file}: routes.0.upstreem: unknown setting; did you mean 'upstream'?",
        ),
        (
            'upstream = "http://a"\n[[routes]]\nmodels = ["x"]\nupstream = "http://b"\nkey-env = "K"',
            "{file}: routes.0.key-env: unknown setting; did you mean 'key_env'?",
        ),
        (
            'upstream = "http://a"\nlog_format = "jsn"',
            "{file}: log_format: 'jsn' is not one of: auto, console, json; did you mean 'json'?",
        ),
        (
            'upstream = "http://a"\nport = 70000',
            "{file}: port: Input should be less than or equal to 65535",
        ),
        (
            'upstream = "ftp://a"',
            "{file}: upstream: 'ftp://a' is not an http(s) URL; give one, or 'demo'",
        ),
        (
            'upstream = "http://127.0.0.1:99999/v1"',
            "{file}: upstream: 'http://127.0.0.1:99999/v1' is not a URL (its port is out of the range 0-65535); "
            "give one, or 'demo'",
        ),
        (
            'upstream = "http://a/api/v1/chat/completions/"',
            "{file}: upstream: 'http://a/api/v1/chat/completions/' is where calls go; give the base URL, "
            "'http://a/api/v1'",
        ),
        (
            'upstream = "http://a/v 1"',
            "{file}: upstream: 'http://a/v 1' has a space in it; remove it",
        ),
        (
            'upstream = "http://a/v1?x=1"',
            "{file}: upstream: 'http://a/v1' has a query or fragment; give the base URL only",
        ),
        (
            "upstream",
            "config {file} is not valid TOML: Expected '=' after a key in a key/value pair (at end of document)",
        ),
        (
            "port = 1",
            "no upstream; give --upstream URL or set CAB_UPSTREAM, or use --upstream demo for a "
            "first look",
        ),
    ],
)
def test_a_bad_file_is_named_with_the_setting(tmp_path: Path, text: str, message: str) -> None:
    """A bad setting gives one line that names the file, the setting and the fix."""
    file = tmp_path / "cab.toml"
    file.write_text(text)
    with pytest.raises(BadConfig) as caught:
        load_settings(file, {}, {})
    assert str(caught.value) == message.format(file=file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A config file that is not there is named."""
    file = tmp_path / "none.toml"
    with pytest.raises(BadConfig, match=r"none\.toml cannot be read: No such file"):
        load_settings(file, {}, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_loopback_keys_are_required(host: str) -> None:
    """A listener that others can reach refuses to start without keys, unless --allow-open is given."""
    with pytest.raises(BadConfig, match=f"command line: host: {re.escape(host)} can be"):
        parse_settings({"upstream": "demo", "host": host}, "command line")
    assert parse_settings({"upstream": "demo", "host": host, "auth": "keys"}, "x").host == host
    assert parse_settings({"upstream": "demo", "host": host, "allow_open": True}, "x").host == host


def test_every_setting_is_in_a_group() -> None:
    """Each setting is in one group of the help, and no group names another."""
    grouped = [name for names in SETTING_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(ProxySettings.model_fields)


@pytest.mark.parametrize("model", [ProxySettings, Route])
def test_every_setting_says_what_it_is(model: type[ProxySettings | Route]) -> None:
    """The help and the page are made from the fields' texts: each has one, a sentence."""
    for field in model.model_fields.values():
        assert (field.description or "").endswith((".", ")."))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_recognised(host: str) -> None:
    """The loopback range counts as this machine only."""
    assert is_loopback(host)


def test_space_around_a_url() -> None:
    """A URL that was pasted with a space or a line end is the URL."""
    assert parse_settings({"upstream": " http://a/v1\n"}, "x").upstream == "http://a/v1"
