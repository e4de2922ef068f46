"""Images that podman really builds: `make test-containers` makes those of the agents first."""

import json
import os
import subprocess
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.tools.containers import BASE, agent_image, podman, require_podman
from tests.tools.programs import CAB

pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("images"),
]

CANARY = "canary-of-a-registry-0123456789"
SETTINGS = {
    "pip.conf": f"# {CANARY}\n[global]\ntimeout = 60\n",
    "npmrc": f"; {CANARY}\n",
    "apt.conf": f"// {CANARY}\n",
}
PROGRAM = "#!/bin/sh\necho from-a-file 0\n"


AGENT_IMAGES = [agent_image("aider"), agent_image("qwen-code")]


def cab(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `cab images`."""
    return subprocess.run(
        (CAB, "images", *words),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def inside(image: str, *words: str, options: tuple[str, ...] = ()) -> str:
    """Run a program of an image, without a network; return what it printed."""
    return podman(
        *("run", "--rm", "--pull", "never", "--network", "none", *options),
        *("--entrypoint", words[0], image, *words[1:]),
    )


class Built(NamedTuple):
    """An image that was built twice."""

    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.first["id"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Generator[Built]:
    """An image whose agent is a file: from layers of earlier images, where there are some, and without any."""
    require_podman(BASE)
    # One base: its name may be given to another image meanwhile.
    base = podman("image", "inspect", "--format", "{{.Id}}", BASE).strip()
    folder = tmp_path_factory.mktemp("build")
    program = folder / "program"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    files = [pair for pair in os.environ.get("CAB_BUILD_FILES", "").split(",") if pair]
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
        files.append(f"{name}={folder / name}")
    words = ("build", "scripted", "--agent-version", "0-twice", "--binary", str(program))
    found = []
    for more in ((), ("--no-cache",)):
        done = cab(
            *words, "--base", f"sha256:{base}", "--json", *more, CAB_BUILD_FILES=",".join(files)
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    yield Built(*found)
    podman("image", "rm", "--force", *{each["id"] for each in found})


def test_two_builds_have_the_same_layers(built: Built) -> None:
    """A build that uses no layer of an earlier one has the same layers."""
    assert built.first["layers"] == built.second["layers"]
    assert len(built.first["layers"]) > 2


def test_nothing_of_this_machine_remains(built: Built) -> None:
    """No file, variable or history of an image has a setting of the build, nor a log, a cache or a lock of pip."""
    script = (
        f"grep -rl {CANARY} / --exclude-dir=proc --exclude-dir=sys; "
        "find /var/log /var/cache /var/lib/apt/lists /run/secrets /tmp /root/.cache -type f; true"
    )
    assert inside(built.id, "sh", "-c", script) == ""
    assert CANARY not in podman("image", "inspect", built.id)
    assert CANARY not in podman("history", "--no-trunc", built.id)


def test_users_folders_and_names(built: Built) -> None:
    """Three users, all else root's and not writable for others; the PATH has cab and the agent, no other Python."""
    script = (
        "id -u cab agent checks 2>/dev/null || for u in cab agent checks; do id -u $u; done; "
        "find /opt /runs ! -user root -o -perm /022 ! -type l; "
        "for p in cab cab-proxy scripted python3; do command -v $p; done; scripted"
    )
    lines = inside(built.id, "sh", "-c", script).split("\n")
    assert [line for line in lines if line.isdigit()] == ["901", "902", "903"]
    assert [line for line in lines if not line.isdigit()] == [
        *(f"/usr/local/bin/{name}" for name in ("cab", "cab-proxy", "scripted")),
        "/usr/bin/python3",
        "from-a-file 0",
        "",
    ]


def test_the_agent_of_an_image_is_installed_there(built: Built) -> None:
    """Inside, cab knows the image's agent, in its version, as installed."""
    rows = inside(built.id, "cab", "adapters", "list", "--json").splitlines()
    [row] = [row for row in map(json.loads, rows) if row["name"] == "scripted"]
    assert row["installed"] == "0-twice"


def test_labels_and_list(built: Built) -> None:
    """The image says what it is, and the list has it."""
    labels = built.first["labels"]
    assert labels["cab.agent"] == "scripted"
    assert labels["cab.agent.version"] == "0-twice"
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    rows = [json.loads(line) for line in cab("list", "--json").stdout.splitlines()]
    [row] = [row for row in rows if row["name"] == built.first["name"]]
    assert row == built.second
    shown = cab("show", built.first["name"]).stdout
    assert built.second["digest"] in shown


def test_the_list_of_contents(built: Built) -> None:
    """The bill of materials names packages of the system and of Python as they are, and the user's file."""
    bill = json.loads(cab("show", built.first["name"], "--sbom").stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    packages = {each.get("purl", each["bom-ref"]): each for each in bill["components"]}
    version = inside(built.id, "dpkg-query", "-W", "-f", "${Version}", "python3").strip()
    # A version is percent-encoded in a package URL: 3.11.2-1+b1 has a plus.
    assert f"pkg:deb/debian/python3@{quote(version, safe='')}?arch=amd64" in packages
    aiohttp = inside(
        built.id, "/opt/cab/bin/python", "-c", "import aiohttp as a; print(a.__version__)"
    )
    assert f"pkg:pypi/aiohttp@{aiohttp.strip()}" in packages
    assert "agent:scripted@0-twice" in packages


def test_a_build_that_fails() -> None:
    """The reason of a failed step is one line of its own output, with the file that has all of it."""
    require_podman(BASE)
    done = cab("build", "scripted", "--packages", "no-such-package-of-debian", "--base", BASE)
    assert done.returncode == 2
    assert done.stderr.startswith("cab: localhost/cab-agent-scripted:1 was not built: ")
    assert "apt-get could not install: no-such-package-of-debian (full log: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_killed_build_leaves_nothing_running(tmp_path: Path) -> None:
    """After SIGKILL of cab the step that ran ends too, although podman alone would let it go on."""
    require_podman(BASE)
    seconds = f"600.{os.getpid()}"  # no other process sleeps as long
    conf = tmp_path / "apt.conf"
    conf.write_text(f'APT::Update::Pre-Invoke {{"sleep {seconds}";}};\n')
    before = working_containers()
    words = ("images", "build", "scripted", "--base", BASE, "--no-cache")
    files = ("--build-file", f"apt.conf={conf}")
    with subprocess.Popen((CAB, *words, *files), start_new_session=True) as cab:
        while not sleeping(seconds):
            assert cab.poll() is None
            time.sleep(0.1)
        cab.kill()
    while sleeping(seconds):
        time.sleep(0.1)
    # podman keeps what a killed build was working on: docs/images.md says so.
    if left := working_containers() - before:
        podman("rm", "--force", *left)


def sleeping(seconds: str) -> bool:
    """Return whether a process of this machine, or of a container, sleeps so long."""
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if words.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
    return False


def working_containers() -> set[str]:
    """Return what builds have in the engine's storage while they run."""
    rows = podman("ps", "--all", "--external", "--format", "{{.ID}} {{.Command}}").splitlines()
    return {
        name for name, _, command in (row.partition(" ") for row in rows) if command == "buildah"
    }


def test_a_base_that_is_not_there() -> None:
    """A missing base is one line that names it and the fix."""
    require_podman()
    done = cab("build", "scripted", "--base", "localhost/no-such-base:1")
    assert done.returncode == 2
    assert "base image localhost/no-such-base:1 is not on this machine" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_bill_of_an_agents_image() -> None:
    """The bills of both agents name the agent, and what it needs, as packages of PyPI and npm."""
    require_podman(*AGENT_IMAGES)
    for image, package in zip(
        AGENT_IMAGES, ("pypi/aider-chat", "npm/%40qwen-code/qwen-code"), strict=True
    ):
        bill = json.loads(cab("show", image, "--sbom").stdout)
        purls = [each.get("purl", "") for each in bill["components"]]
        assert f"pkg:{package}@{image.rpartition(':')[2]}" in purls
