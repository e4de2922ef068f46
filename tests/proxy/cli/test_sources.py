"""Each setting from a flag, a variable or a file: which one wins, and what is said of a mistake."""

import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from cab.proxy.cli.flags import flag_of, is_nested, make_parser, variable_of
from cab.proxy.cli.sources import ConfigFile, load_settings
from cab.proxy.config import ProxySettings
from cab.proxy.errors import BadConfig

ROOT = Path(__file__).parents[3]
DEMO = {"upstream": "demo"}
FLAT = [name for name, field in ProxySettings.model_fields.items() if not is_nested(field)]
SAMPLES = {
    "upstream": "http://h",
    "host": "127.0.0.2",
    "control_host": "::1",
    "auth": "keys",
    "ack": "none",
    "start_sync": "before_forward",
    "wire": "aiohttp",
    "on_disconnect": "cancel",
    "on_ledger_failure": "open",
    "on_unknown": "ignore",
    "capture": "bodies",
    "otel_protocol": "http/json",
    "ship_to": "postgresql://db.example/cab",
    "log_level": "debug",
    "log_format": "json",
}


def sample_of(name: str) -> str:
    """Return a value for a setting that is not its default."""
    return SAMPLES.get(name, "true" if ProxySettings.model_fields[name].annotation is bool else "7")


@pytest.mark.parametrize("name", FLAT)
def test_each_setting_has_a_flag_a_variable_and_a_key(name: str, tmp_path: Path) -> None:
    """A setting is the same whether it comes as a flag, as a variable or from a file."""
    value, others = sample_of(name), {"upstream": "demo", "control_port": "1", "tls_cert_file": "x"}
    others.pop(name, None)
    words = [flag_of(name)] if value == "true" else [flag_of(name), value]
    file = tmp_path / "cab.toml"
    file.write_text(f"{name} = {json.dumps(value)}\n")

    by_flag = load_settings(None, {**others, **vars(make_parser().parse_args(words))}, {})
    by_variable = load_settings(None, others, {variable_of(name): value})
    by_file = load_settings(file, others, {})

    assert by_flag == by_variable == by_file
    assert getattr(by_flag, name) != ProxySettings.model_fields[name].default


def test_lists_and_tables_are_json_in_variables() -> None:
    """routes, encodings and prices, which have no flag, come from a variable as JSON."""
    route = {"models": ["gpt-*"], "upstream": "http://h", "query": {"a": "b"}}
    environment = {
        "CAB_ROUTES": json.dumps([route]),
        "CAB_ENCODINGS": '{"a": "o200k_base"}',
        "CAB_PRICES": '{"models": {"m": {"input": 0.1}}}',
    }
    settings = load_settings(None, DEMO, environment)

    assert settings.routes[0].model_dump(exclude_defaults=True) == route
    assert settings.encodings == {"a": "o200k_base"}
    assert settings.prices.models["m"].input == Decimal("0.1")
    assert not {"--routes", "--encodings", "--prices"} & set(make_parser().format_help().split())


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    """Of a setting that is given in three places the flag counts, then the variable."""
    file = tmp_path / "cab.toml"
    file.write_text('upstream = "http://a"\nport = 1\ngrace_s = 1\nslot_wait_s = 1\n')
    environment = {"CAB_PORT": "2", "CAB_GRACE_S": "2"}

    settings = load_settings(file, {"port": "3"}, environment)

    assert (settings.port, settings.grace_s, settings.slot_wait_s) == (3, 2, 1)


def test_a_setting_is_taken_whole_from_one_place(tmp_path: Path) -> None:
    """The first pattern that fits counts, so tables of two places are not merged."""
    file = tmp_path / "cab.toml"
    file.write_text('upstream = "demo"\n[encodings]\n"*" = "cl100k_base"\n')

    settings = load_settings(file, {}, {"CAB_ENCODINGS": '{"m": "o200k_base"}'})

    assert settings.encodings == {"m": "o200k_base"}


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    """CAB_CONFIG names the file where no flag does."""
    by_variable, by_flag = tmp_path / "v.toml", tmp_path / "f.toml"
    by_variable.write_text('upstream = "http://v"')
    by_flag.write_text('upstream = "http://f"')
    environment = {"CAB_CONFIG": str(by_variable)}

    assert load_settings(None, {}, environment).upstream == "http://v"
    assert load_settings(by_flag, {}, environment).upstream == "http://f"


def test_an_empty_variable_is_not_set() -> None:
    """A variable that a container gets empty leaves the default."""
    assert load_settings(None, DEMO, {"CAB_PORT": "", "CAB_ROUTES": ""}).port == 31415


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (DEMO, {"CAB_PORT": "x"}, "CAB_PORT: Input should be a valid integer"),
        ({**DEMO, "port": "x"}, {}, "--port: Input should be a valid integer"),
        (
            DEMO,
            {"CAB_AUTH": "key"},
            "CAB_AUTH: 'key' is not one of: open, keys; did you mean 'keys'?",
        ),
        (DEMO, {"CAB_ROUTES": "[{"}, "CAB_ROUTES is not valid JSON: "),
        (
            DEMO,
            {"CAB_ROUTES": '[{"model": ["a"], "upstream": "http://h"}]'},
            "CAB_ROUTES.0.model: unknown setting; did you mean 'models'?",
        ),
        (
            DEMO,
            {"CAB_HOST": "0.0.0.0"},
            "CAB_HOST: 0.0.0.0 can be reached from other machines",
        ),
        ({**DEMO, "control_host": "::1"}, {}, "--control-host: control_port is not set"),
        ({**DEMO, "tls_key_file": "x"}, {}, "--tls-key-file: tls_cert_file is not set"),
        (
            {},
            {"CAB_UPSTREEM": "demo"},
            "CAB_UPSTREEM is not a variable of cab-proxy; did you mean CAB_UPSTREAM? If not, unset it",
        ),
        (DEMO, {"CAB_KEYS": "x"}, "CAB_KEYS is not a variable of cab-proxy; did you mean CAB_KEY?"),
        (DEMO, {"CAB_ADMINTOKEN": "x"}, "did you mean CAB_ADMIN_TOKEN?"),
        (DEMO, {"CAB_SIGNING_KEYS": "x"}, "did you mean CAB_SIGNING_KEY?"),
        (
            DEMO,
            {"CAB_ROUTES__0__UPSTREAM": "http://h"},
            "CAB_ROUTES__0__UPSTREAM is not a setting: a part of one has no variable; "
            "set CAB_ROUTES, with JSON where it is a list or a table",
        ),
        (DEMO, {"CAB_ENCODINGS__X": "x"}, "set CAB_ENCODINGS, with JSON"),
        (DEMO, {"CAB_LOGLEVEL": "debug"}, "did you mean CAB_LOG_LEVEL?"),
        ({}, {}, "no upstream; give --upstream URL or set CAB_UPSTREAM"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    flags: dict[str, str], environment: dict[str, str], message: str
) -> None:
    """An error names the variable or the flag, and what was probably meant."""
    with pytest.raises(BadConfig) as caught:
        load_settings(None, flags, environment)
    assert message in str(caught.value)


def test_variables_of_others_are_left_alone() -> None:
    """A CAB_ variable that is like no setting is not ours, nor is one that holds a route's key."""
    route = {"models": ["*"], "upstream": "http://h", "key_env": "CAB_ROUTE"}
    environment = {
        "CAB_DRIVER": "x",
        "CAB_ROUTE": "a key",
        "CAB_PORTS": "a key",
        "CAB_ROUTES": json.dumps([route]),
        "CAB_UPSTREAM_KEY_ENV": "CAB_PORTS",
    }
    assert load_settings(None, DEMO, environment).routes[0].key_env == "CAB_ROUTE"


def test_our_own_variables_are_not_taken_for_mistakes() -> None:
    """No variable that code or pages of this repository name keeps the proxy from starting."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    settings = set(map(variable_of, ProxySettings.model_fields))
    names: set[str] = set()
    for name in listed:
        file = ROOT / name
        if file.is_file() and not name.startswith("tests/proxy/cli/"):
            text = file.read_text(encoding="utf-8", errors="replace")
            names |= set(re.findall(r"\bCAB_[A-Z_]*[A-Z]\b", text))
    others = names - settings - {"CAB_UPSTREEM"}  # shown as a mistake
    assert "CAB_KEY" in others

    load_settings(None, DEMO, dict.fromkeys(others - {"CAB_CONFIG"}, "x"))


def test_secrets_are_not_settings(tmp_path: Path) -> None:
    """A key is neither a flag nor read from a file, and no message shows it."""
    file = tmp_path / "cab.toml"
    for name in ("key", "signing_key", "admin_token"):
        file.write_text(f'upstream = "demo"\n{name} = "sk-canary"\n')
        with pytest.raises(BadConfig, match=f"{name}: unknown setting") as caught:
            load_settings(file, {}, {})
        assert "sk-canary" not in str(caught.value)
        assert flag_of(name) not in make_parser().format_help().split()


def test_a_pipe_is_read_once() -> None:
    """A reload goes by what it held at the start; its end would be an empty file."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        file.write('upstream = "demo"\ngrace_s = 7\n')
    with os.fdopen(reading):
        config = ConfigFile()
        for _ in range(2):
            settings = load_settings(Path(f"/dev/fd/{reading}"), {}, {}, config)
            assert settings.grace_s == 7


def test_a_pipe_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """To open it could take for ever, and calls would wait for that."""
    file, config = tmp_path / "cab.toml", ConfigFile()
    file.write_text('upstream = "demo"\n')
    load_settings(file, {}, {}, config)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BadConfig, match="is not a regular file any more"):
        load_settings(file, {}, {}, config)
