"""What CAB and each of its extras weigh: `python -m benchmarks.extras` prints the table of docs/install.md."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from cab.adapters.install.pypi import find_uv

ROOT = Path(__file__).parents[1]


def install(extra: str | None, folder: Path) -> tuple[set[str], int]:
    """Install CAB from this tree and return the packages that came, and their bytes without bytecode."""
    uv = find_uv()
    pip = (
        [uv, "pip", "install", "--quiet"] if uv else [sys.executable, "-m", "pip", "install", "-q"]
    )
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    subprocess.run([*pip, "--target", folder, what], check=True)
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    packages = {path.name.partition("-")[0] for path in folder.glob("*.dist-info")}
    return packages, sum(path.stat().st_size for path in files)


def main() -> None:
    """Print a row for CAB, and one for each extra with what it adds."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    with tempfile.TemporaryDirectory() as folder:
        core, core_bytes = install(None, Path(folder, "core"))
        print(f"| none | {len(core)} packages with CAB | {core_bytes / 1e6:.0f} |")
        for extra in extras:
            packages, size = install(extra, Path(folder, extra))
            more = ", ".join(sorted(packages - core)).replace("_", "-")
            print(f"| `{extra}` | {more} | {max(1, round((size - core_bytes) / 1e6))} |")


if __name__ == "__main__":
    main()
