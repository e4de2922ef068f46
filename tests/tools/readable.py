"""A copy of this Python, of CAB and of what CAB needs, in a folder that any user may read."""

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OWN = "coding-agent-bench"


def copy_modules(folder: Path) -> Path:
    """Copy CAB and the packages that it needs, without extras, and return where they are imported from."""
    for room in ("adapters", "proxy", "scoring"):
        _copy_tree(ROOT / room, folder / "cab" / room)
    [about] = Path(sysconfig.get_path("purelib")).glob("coding_agent_bench-*.dist-info")
    _copy_tree(about, folder / about.name)
    for package in _needed(OWN, {OWN}):
        for file in package.files or ():
            if ".." not in file.parts:  # scripts stand beside the packages
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                _copy(str(package.locate_file(file)), str(folder / file))
    return folder


def copy_python(folder: Path) -> Path:
    """Copy the interpreter with its standard library, and return its program."""
    program = Path(sys.executable).resolve()
    library = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    _copy_tree(program.parents[1] / library, folder / library, "site-packages", "test")
    for shared in (program.parents[1] / "lib").glob("libpython*"):
        _copy(str(shared), str(folder / "lib" / shared.name))
    (folder / "bin").mkdir()
    _copy(str(program), str(folder / "bin" / program.name))
    return folder / "bin" / program.name


def _needed(name: str, seen: set[str]) -> Iterator[Distribution]:
    """Yield the packages that a package needs on this system, each once."""
    for requirement in map(Requirement, distribution(name).requires or ()):
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        needed = canonicalize_name(requirement.name)
        if wanted and needed not in seen:
            seen.add(needed)
            yield distribution(needed)
            yield from _needed(needed, seen)


def _copy_tree(source: Path, target: Path, *left_out: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__", *left_out)
    shutil.copytree(
        source, target, ignore=ignored, copy_function=_copy, ignore_dangling_symlinks=True
    )


def _copy(source: str, target: str) -> str:
    """Give a file a second name if that can be done, which is 10 times as fast as a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
    return target
