"""Builds the folder of an agent from npm: a package.json of its own, and the Node it runs on.

package.json, node_modules/   what npm installed
bin/node                      the Node: a link to one on the PATH, or to one from npm
bin/<executable>              starts the agent, with that Node first on the PATH
node/                         the Node from npm, where PATH has none that is new enough
"""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from shutil import which

import orjson

from cab.adapters.agents.base import NpmInstall
from cab.adapters.install.build_steps import BuildSteps
from cab.adapters.install.node import find_node, node_text

NODE = "bin/node"
"""Path of the agent's Node in its folder."""

_FLAGS = ("--save-exact", "--no-audit", "--no-fund", "--no-update-notifier", "--logs-max=0")
# The user's settings must not change the folder, or leave out the platform's own packages.
_PLACE = ("--no-global", "--include=optional", "--engine-strict=false")
# Nor may they leave out what install scripts build, the programs, or all files.
_COMPLETE = (
    "--ignore-scripts=false",
    "--bin-links=true",
    "--dry-run=false",
    "--package-lock-only=false",
)
_ERROR = re.compile(r"npm (?:error|ERR!) (.*)")
_NOISE = re.compile(r"path |Log files were |A complete log |Note that |tarball, ")


def build_from_npm(need: NpmInstall, version: str, folder: Path, steps: BuildSteps) -> str:
    """Build an agent's folder and return the version that its own package.json names.

    Args:
        need: What is installed.
        version: Of the agent.
        folder: Where to; must not exist.
        steps: Runs the commands.

    Raises:
        InstallFailed: No npm, no space, or the registry refused.
    """
    npm = which("npm")
    if npm is None:
        raise steps.failed(f"npm is not on the PATH; install {node_text(need.node_min)} with npm")
    own = folder / "bin"
    own.mkdir(parents=True)
    (folder / NODE).symlink_to(_node(npm, need, folder, steps))
    path = f"{own}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    _npm_install(npm, folder, (f"{need.package}@{version}", *need.extra), steps, path)
    started = folder / "node_modules" / ".bin" / need.executable
    if not started.exists():
        raise steps.failed(f"{need.package} {version} has no executable {need.executable!r}")
    _write_wrapper(own / need.executable, own, started)
    return _installed_version(folder, need.package)


def npm_failure(text: str) -> str:
    r"""Return the reason of a failure from npm's output, in one line; empty if it has none.

    >>> npm_failure("npm error code ETARGET\nnpm error notarget No matching version for x@9.\n")
    'code ETARGET; notarget No matching version for x@9.'
    """
    matches = (_ERROR.fullmatch(line.strip()) for line in text.split("\n"))
    reasons = (" ".join(match[1].split()) for match in matches if match)
    # A single word is the margin of npm's longer explanations.
    relevant = [line for line in reasons if " " in line and not _NOISE.match(line)]
    # The error that a script threw is more useful than the lines before it.
    thrown = [line for line in relevant if "Error: " in line and not line.startswith("throw")]
    return "; ".join([*relevant[:1], thrown[0]] if thrown else relevant[:3])


def _node(npm: str, need: NpmInstall, folder: Path, steps: BuildSteps) -> Path:
    """Return a Node for the agent: one on the PATH, or else one that npm installs into its folder."""
    found = find_node(need.node_min)
    if found is not None:
        return found.path
    # The major version of the oldest supported one: the agent was most likely tested on it.
    wanted = f"node@^{'.'.join(map(str, need.node_min))}"
    _npm_install(npm, folder / "node", (wanted,), steps, os.environ.get("PATH", os.defpath))
    node = folder / "node" / "node_modules" / "node" / "bin" / "node"
    if not node.is_file():
        raise steps.failed(
            f"npm package {wanted} installed no Node; allow npm's install scripts, "
            f"or install {node_text(need.node_min)}"
        )
    return node


def _npm_install(
    npm: str, folder: Path, packages: Sequence[str], steps: BuildSteps, path: str
) -> None:
    # npm runs the install scripts of the packages listed here only.
    names = [package.rpartition("@")[0] for package in packages]
    manifest = {"private": True, "allowScripts": dict.fromkeys(names, True)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_bytes(orjson.dumps(manifest))
    command = (npm, "install", "--prefix", str(folder), *_FLAGS, *_PLACE, *_COMPLETE, *packages)
    steps.run(command, {"PATH": path, "NO_UPDATE_NOTIFIER": "1"})


def _write_wrapper(wrapper: Path, own: Path, started: Path) -> None:
    wrapper.write_text(
        "#!/bin/sh\n"
        f'PATH={shlex.quote(str(own))}"${{PATH:+:$PATH}}" exec {shlex.quote(str(started))} "$@"\n'
    )
    wrapper.chmod(0o755)


def _installed_version(folder: Path, package: str) -> str:
    file = folder / "node_modules" / package / "package.json"
    return str(orjson.loads(file.read_bytes())["version"])
