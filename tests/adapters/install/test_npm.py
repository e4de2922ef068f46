"""Installs from npm: real ones, of tiny packages that a registry of the test's own serves."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cab.adapters.agents.base import NpmInstall
from cab.adapters.errors import InstallFailed
from cab.adapters.install.install import agents_folder, find_installed, install
from cab.adapters.install.node import find_node
from cab.adapters.install.npm import npm_failure
from tests.adapters.tinynpm import FACTS, agent_package, package, registry, use_registry

NPM, NODE = shutil.which("npm"), shutil.which("node")
needs_npm = pytest.mark.skipif(NPM is None or NODE is None, reason="npm and Node.js are not there")

# Newer than any: answers as such, and lets the real one do the work.
FAKE_NODE = f"""#!/bin/sh
case "$2" in
*process.version*) echo "v99.1.0 $0";;
*) exec {NODE} "$@";;
esac
"""
AHEAD = replace(FACTS, install=NpmInstall("@cab/tiny-agent", "tinyjs", node_min=(99,)))


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No registry but the test's, and no traces."""
    use_registry("http://127.0.0.1:1", tmp_path, monkeypatch)


@needs_npm
def test_installed_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent gets a folder of its own, in which it runs on the Node that was chosen."""
    with registry(agent_package()) as url:
        use_registry(url, tmp_path, monkeypatch)
        installed = install(FACTS)

    folder = agents_folder() / "tinyjs-1.2.3"
    bare = {"PATH": "/nowhere"}
    done = subprocess.run(
        [installed.executable, "a b"], check=True, capture_output=True, text=True, env=bare
    )
    node = find_node((18,))
    assert node is not None
    assert done.stdout == f"tinyjs [ 'a b' ] {node.path}\n"
    assert installed == (folder / "bin" / "tinyjs", "1.2.3")
    assert find_installed(FACTS) == installed
    assert orjson.loads((folder / "package.json").read_bytes())["dependencies"] == {
        "@cab/tiny-agent": "1.2.3"
    }
    assert not (folder.parent / "tinyjs-1.2.3.log").exists()


@needs_npm
def test_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent forgets to ask for is installed beside it, in the version that is named."""
    need = NpmInstall("@cab/tiny-agent", "tinyjs", (18,), extra=("beside@2.0.0",))
    beside = [package("beside", version, {}) for version in ("2.0.0", "3.0.0")]
    with registry(agent_package(), *beside) as url:
        use_registry(url, tmp_path, monkeypatch)
        install(replace(FACTS, install=need))

    modules = agents_folder() / "tinyjs-1.2.3" / "node_modules"
    assert orjson.loads((modules / "beside" / "package.json").read_bytes())["version"] == "2.0.0"


@needs_npm
def test_node_from_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no Node on the PATH is new enough, one comes from npm, and the agent finds it first."""
    older, newer = (package("node", v, {"bin/node": FAKE_NODE}) for v in ("99.1.0", "100.0.0"))
    with registry(agent_package(), older, newer) as url:
        use_registry(url, tmp_path, monkeypatch)
        installed = install(AHEAD)

    own = agents_folder() / "tinyjs-1.2.3" / "node" / "node_modules" / "node"
    assert orjson.loads((own / "package.json").read_bytes())["version"] == "99.1.0"
    found = subprocess.run(
        [installed.executable], check=True, capture_output=True, text=True, env={"PATH": "/bin"}
    )
    assert found.stdout.startswith("tinyjs")
    assert (installed.executable.parent / "node").resolve() == own / "bin" / "node"


@needs_npm
def test_node_without_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that leaves no Node behind, as its install script was not run, is named."""
    with registry(agent_package(), package("node", "99.1.0", {})) as url:
        use_registry(url, tmp_path, monkeypatch)
        with pytest.raises(InstallFailed, match=r"node@\^99 installed no Node; allow npm's"):
            install(AHEAD)


@needs_npm
def test_node_removed_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose Node has gone is not installed whole, and is made anew."""
    with registry(agent_package()) as url:
        use_registry(url, tmp_path, monkeypatch)
        node = install(FACTS).executable.with_name("node")
        node.unlink()
        node.symlink_to(tmp_path / "gone")
        assert find_installed(FACTS) is None
        assert install(FACTS) == find_installed(FACTS)


@needs_npm
def test_unknown_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the registry does not have is an error in one line, with the path of the log."""
    with registry(agent_package()) as url:
        use_registry(url, tmp_path, monkeypatch)
        with pytest.raises(InstallFailed) as caught:
            install(replace(FACTS, version="9.9.9"))

    said = str(caught.value)
    assert "npm: code ETARGET; notarget No matching version found for @cab/tiny-" in said
    assert "\n" not in said
    assert caught.value.log is not None
    assert "ETARGET" in caught.value.log.read_text()
    assert str(caught.value.log) in said
    assert find_installed(replace(FACTS, version="9.9.9")) is None


@needs_npm
def test_no_such_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings no program of that name is named."""
    need = NpmInstall("@cab/tiny-agent", "other", (18,))
    with registry(agent_package()) as url:
        use_registry(url, tmp_path, monkeypatch)
        with pytest.raises(InstallFailed, match=r"tiny-agent 1\.2\.3 has no executable 'other'"):
            install(replace(FACTS, install=need))


@needs_npm
def test_install_script_sees_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a registry serves may run code: it sees no key of ours, and runs on the agent's Node."""
    seen = tmp_path / "seen"
    scripts = {"preinstall": f"env > {seen}"}
    monkeypatch.setenv("CAB_KEY", "sk-canary")
    with registry(agent_package(scripts=scripts)) as url:
        use_registry(url, tmp_path, monkeypatch)
        installed = install(FACTS)

    variables = dict(line.partition("=")[::2] for line in seen.read_text().split("\n"))
    assert "CAB_KEY" not in variables
    assert str(installed.executable.parent) in variables["PATH"].split(os.pathsep)


@needs_npm
def test_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the user's settings leave out, the agent is there whole: its scripts ran, it runs."""
    settings = ("ignore-scripts=true", "bin-links=false", "dry-run=true", "package-lock-only=true")
    scripts = {"postinstall": "echo > built"}
    with registry(agent_package(scripts=scripts)) as url:
        use_registry(url, tmp_path, monkeypatch)
        (tmp_path / "npmrc").write_text("\n".join(settings))
        installed = install(FACTS)

    package = agents_folder() / "tinyjs-1.2.3" / "node_modules" / "@cab" / "tiny-agent"
    assert (package / "built").exists()
    assert subprocess.run([installed.executable], check=True, capture_output=True).stdout


@needs_npm
def test_failing_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An install script that fails is named by its command."""
    scripts = {"postinstall": "echo no luck; exit 7"}
    with registry(agent_package(scripts=scripts)) as url:
        use_registry(url, tmp_path, monkeypatch)
        with pytest.raises(InstallFailed, match=r"code 7; command failed; command sh -c echo no"):
            install(FACTS)


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm the fix is named, and no empty log."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InstallFailed) as caught:
        install(FACTS)

    assert str(caught.value) == (
        "tinyjs was not installed: npm is not on the PATH; install Node.js 18 or newer with npm"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("added 2 packages\n", ""),
        ("npm ERR! code E404\nnpm ERR! 404\nnpm ERR! 404  no  such\n", "code E404; 404 no such"),
        (
            "npm error code 1\nnpm error path /x y\nnpm error command failed\n",
            "code 1; command failed",
        ),
    ],
)
def test_failure(text: str, said: str) -> None:
    """Of npm's explanations the telling lines are kept."""
    assert npm_failure(text) == said
