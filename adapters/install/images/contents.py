"""Lists what is in an image, as a software bill of materials in CycloneDX 1.5; runs inside its build.

    python -m cab.adapters.install.images.contents SBOM.JSON
    python -m cab.adapters.install.images.contents SBOM.JSON ENVIRONMENT

The second is of a release: `cab` with what is installed beside it in an environment of Python.

Written here, not by a library: it is one list of names, versions and package URLs, and whatever wrote it would have
to be installed into every image. It states no time and no random number, so that an image is built twice alike.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from shutil import which
from urllib.parse import quote

import orjson

from cab.adapters.install.images.own_wheel import DISTRIBUTION, cab_version
from cab.adapters.install.install import STAMP

_INSTALLERS = frozenset({"pip", "setuptools"})
_DPKG = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"


def sbom(agent: Path, own: Path) -> dict[str, object]:
    """Return the list of all packages in this image: of the system, of Python, of npm.

    Args:
        agent: Folder of the agent.
        own: Folder of `cab`.
    """
    return _bill(
        [
            *_of_system(),
            *_of_python("cab", own),
            *_of_python("agent", agent),
            *_of_npm(agent),
            *_binary(agent),
        ]
    )


def release_sbom(environment: Path) -> dict[str, object]:
    """Return the list of what an environment of Python holds beside `cab`, which the list is of.

    Args:
        environment: Its folder; what installs packages is left out.
    """
    found = {each["name"]: each for each in _of_python("", environment)}
    own = found.pop(DISTRIBUTION)
    bill = _bill([each for name, each in found.items() if name not in _INSTALLERS])
    return {**bill, "metadata": {"tools": _tools(), "component": own}}


def _bill(found: Iterable[dict[str, str]]) -> dict[str, object]:
    unique = {each["bom-ref"]: each for each in found}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"tools": _tools()},
        "components": [unique[name] for name in sorted(unique)],
    }


def _tools() -> dict[str, object]:
    return {"components": [_component(DISTRIBUTION, cab_version(), None)]}


def _component(name: str, version: str, purl: str | None, place: str = "") -> dict[str, str]:
    parts = {"type": "library", "name": name, "version": version}
    reference = f"{place}:{purl or f'{name}@{version}'}".removeprefix(":")
    return {**parts, "bom-ref": reference, **({} if purl is None else {"purl": purl})}


def _of_system() -> Iterator[dict[str, str]]:
    query = which("dpkg-query")
    if query is None:
        return
    done = subprocess.run([query, "-W", "-f", _DPKG], capture_output=True, text=True, check=True)
    release = Path("/etc/os-release").read_text()
    vendor = re.search(r"^ID=\"?([a-z0-9.-]+)", release, re.MULTILINE)
    of = vendor[1] if vendor else "debian"
    for line in done.stdout.splitlines():
        state, name, version, architecture = line.split("\t")
        if state.startswith("ii"):
            purl = f"pkg:deb/{of}/{name}@{quote(version, safe='')}?arch={architecture}"
            yield _component(name, version, purl)


def _of_python(place: str, folder: Path) -> Iterator[dict[str, str]]:
    roots = [str(path) for path in folder.glob("lib/python3*/site-packages")]
    for each in distributions(path=roots):
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        purl = f"pkg:pypi/{name}@{quote(each.version, safe='')}"
        yield _component(each.name, each.version, purl, place)


def _of_npm(folder: Path) -> Iterator[dict[str, str]]:
    # A package may lie in another one's node_modules, and a scope is a folder of its own.
    for file in sorted(folder.rglob("package.json")):
        holder = file.parent.parent
        scoped = holder.name.startswith("@")
        if (holder.parent if scoped else holder).name != "node_modules":
            continue
        try:
            facts = orjson.loads(file.read_bytes())
            name, version = str(facts["name"]), str(facts["version"])
        except (ValueError, LookupError, TypeError):
            continue  # a file of a package that is not a package
        purl = f"pkg:npm/{quote(name, safe='/')}@{quote(version, safe='')}"
        yield _component(name, version, purl, "agent")


def _binary(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the agent itself where it was a file of the user's: no package states it."""
    packaged = any((folder / part).exists() for part in ("lib", "node_modules"))
    try:
        facts = orjson.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError):
        return
    if not packaged:
        yield _component(str(facts["name"]), str(facts["version"]), None, "agent")


if __name__ == "__main__":
    [place, *environments] = sys.argv[1:]
    made = (
        release_sbom(Path(environments[0]))
        if environments
        else sbom(Path("/opt/agent"), Path("/opt/cab"))
    )
    written = orjson.dumps(made, option=orjson.OPT_INDENT_2)
    Path(place).write_bytes(written + b"\n")
