"""Dockerfile and compose file: no engine is needed to see that they name what is there."""

import asyncio
import json
import re
import shlex
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cab.adapters.cli import make_parser as make_cab_parser
from cab.adapters.sandboxes.deviations import ALLOWED, SENTENCES
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.sandboxes.limits import limit_names
from cab.proxy.cli.flags import make_parser
from cab.proxy.cli.sources import load_settings
from tests.tools.proxy import metered
from tests.tools.tls import certificate

ROOT = Path(__file__).parents[1]
INSTRUCTIONS = {
    *("ARG", "FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE"),
    *("HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "LABEL"),
}
SECRET_NAMES = ("CAB_KEY", "CAB_SIGNING_KEY", "CAB_ADMIN_TOKEN", "CAB_METRICS_TOKEN")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last(name: str) -> str:
    return [rest for word, rest in instructions() if word == name][-1]


def compose() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return data


def settings_of(words: list[str]) -> Any:
    """Return the settings that a command line of the proxy gives; what is wrong raises."""
    return load_settings(None, vars(make_parser().parse_args(words)), {})


def test_instructions_are_known() -> None:
    """Each line of the Dockerfile is an instruction, and the lists in it are JSON."""
    assert {word for word, _ in instructions()} == INSTRUCTIONS
    for word, rest in instructions():
        for part in re.findall(r"\[\".*\]", rest) if word != "RUN" else ():
            assert isinstance(json.loads(part), list)


def test_image_starts_the_proxy() -> None:
    """The entry point is a command that we install, with flags that it knows, keys on."""
    program, *flags = json.loads(last("ENTRYPOINT"))
    settings = settings_of([*flags, "--upstream", "demo"])

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert program in scripts
    assert (settings.auth, settings.host) == ("keys", "0.0.0.0")
    assert str(settings.port) == last("EXPOSE")
    assert [str(settings.ledger)] == json.loads(last("VOLUME"))


def test_image_is_not_root_and_holds_no_key() -> None:
    """The image runs as an ordinary user; nothing in it sets, takes or copies a key."""
    user, _, group = last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    for word, rest in instructions():
        if word in {"ARG", "ENV"}:
            assert not re.search(r"KEY|TOKEN|SECRET", rest)


def test_health_is_the_proxys_own() -> None:
    """The health check asks the control API where the proxy listens."""
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])

    assert f"127.0.0.1:{last('EXPOSE')}/cab/health" in command[-1]
    compile(command[-1], "HEALTHCHECK", "exec")


@pytest.mark.parametrize("tls", [False, True])
async def test_health_is_found_with_a_certificate_too(tls: bool, tmp_path: Path) -> None:
    """The check asks over TLS where the variable names a certificate, whatever names that holds."""
    settings: dict[str, Any] = {"tls_cert_file": certificate()} if tls else {}
    async with metered("http://127.0.0.1:9", tmp_path, **settings) as meter:
        command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
        program = command[-1].replace(f":{last('EXPOSE')}/", f":{urlsplit(meter.url).port}/")
        env = {"CAB_TLS_CERT_FILE": str(certificate())} if tls else {}
        asked = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=env)
        assert await asked.wait() == 0


def test_context_is_what_a_build_needs() -> None:
    """Only what the wheel is made of reaches the build: no ledgers, runs or keys."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert "*" in lines
    rooms = set(project["tool"]["setuptools"]["package-dir"].values())
    licences = project["project"]["license-files"]
    beside = {name for name in licences if name.partition("/")[0] not in rooms}
    needed = {"pyproject.toml", project["project"]["readme"], *beside, *rooms}
    assert set(allowed) == needed
    for name in ("cab-ledger", "runs", ".git", ".env", "signing.key"):
        assert not any(fnmatch(name, pattern) for pattern in allowed)


def test_compose_starts_the_proxy() -> None:
    """The proxy's service adds flags that the proxy knows; each key comes from outside."""
    proxy = compose()["services"]["proxy"]
    words = [re.sub(r"\$\{(\w+).*\}", "https://host/v1", word) for word in proxy["command"]]

    settings_of([*json.loads(last("ENTRYPOINT"))[1:], *words])
    for name in SECRET_NAMES[:2]:
        assert re.fullmatch(rf"\$\{{{name}:\?.+\}}", proxy["environment"][name])
    assert proxy["volumes"] == [f"ledger:{json.loads(last('VOLUME'))[0]}"]


def test_agent_reaches_the_proxy_only() -> None:
    """The agent is in one network, which is internal; it holds the cell's key and no other."""
    data = compose()
    agent, proxy = data["services"]["agent"], data["services"]["proxy"]

    assert agent["networks"] == ["agents"]
    assert data["networks"]["agents"]["internal"] is True
    assert set(proxy["networks"]) == {"agents", "outside"}
    subnet = data["networks"]["agents"]["ipam"]["config"][0]["subnet"].rpartition(".")[0]
    assert proxy["networks"]["agents"]["ipv4_address"].startswith(subnet)
    for name, value in agent["environment"].items():
        assert not any(f"{{{secret}" in value for secret in SECRET_NAMES)
        if name.endswith(("_BASE", "_ENDPOINT")):
            assert value == f"http://proxy:{last('EXPOSE')}/v1"
    parse_image(re.sub(r"\$\{\w+:-(.*)\}", r"\1", agent["image"]))


@pytest.mark.parametrize("name", ["agent", "proxy"])
def test_services_are_confined(name: str) -> None:
    """Both services give up what they do not need."""
    service = compose()["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not any("docker.sock" in volume for volume in service["volumes"])


def _flags_of_run_cell() -> set[str]:
    parser = make_cab_parser(["run-cell"]).subparsers["run-cell"]
    return {option for action in parser.actions for option in action.option_strings}


@pytest.mark.parametrize("file", ["compose.yaml", "docs/running.md"])
def test_flags_that_are_shown_are_there(file: str) -> None:
    """Every flag of `cab run-cell` that a page shows is one of its flags."""
    text = (ROOT / file).read_text()
    shown = {
        word
        for line in re.sub(r"\\\n#?", " ", text).splitlines()
        if "cab run-cell" in line
        for word in shlex.split(line.replace("`", " ").replace("'", " "))
        if word.startswith("--")
    }
    theirs = {"--ulimit", "--pids-limit", "--memory", "--cpus", "--force", "--no-auto-lint"}
    named = set(re.findall(r"`(--[a-z-]+)", text)) - theirs if file.endswith(".md") else set()

    assert shown | named <= _flags_of_run_cell()


def test_page_of_running_is_complete() -> None:
    """The page lists every limit, and every deviation with its sentence."""
    text = (ROOT / "docs" / "running.md").read_text()

    for name in limit_names():
        assert f"| `{name}` |" in text
    for word, what in SENTENCES.items():
        assert f"| `{word}` | {what} |" in text
    for word in ALLOWED:
        assert f"`--deviate {word}`" in text
