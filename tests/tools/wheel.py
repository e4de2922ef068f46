"""A small package that is really installed, into a folder of the test's own."""

import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin


def install_package(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, Mapping[str, str]],
    version: str = "1.0",
) -> None:
    """Install a package with entry points; a program with the folder on its path finds it.

    Args:
        folder: Where it goes.
        name: Name of the distribution.
        modules: Its modules, by name, with their code.
        entry_points: Groups of entry points, each with names and what they stand for.
        version: Its version.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    points = ""
    for group, each in entry_points.items():
        points += "".join([f"[{group}]\n", *(f"{key} = {path}\n" for key, path in each.items())])
    files = {
        **{f"{module}.py": code for module, code in modules.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder.with_name(f"{stem}-py3-none-any.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    options = ("--no-index", "--no-deps", "--target", str(folder))
    subprocess.run([find_uv_bin(), "pip", "install", "-q", *options, str(wheel)], check=True)
