"""The wheel that images are built from is made of the installed files, the same bytes each time."""

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from uv import find_uv_bin

from cab.adapters.install.images.own_wheel import DISTRIBUTION, own_versions, write_own_wheel

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_wheel(tmp_path_factory.mktemp("wheel"))


def test_same_files_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """Two wheels of the same files are the same file."""
    assert write_own_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_all_modules_and_data_are_in_it(wheel: Path) -> None:
    """The three rooms are in the wheel with their data, and no compiled file or link."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        same = archive.read("cab/adapters/cli.py") == (ROOT / "adapters/cli.py").read_bytes()
    assert same
    assert {
        "cab/scoring/public.py",
        "cab/proxy/server.py",
        "cab/adapters/install/images/template/Containerfile",
        "cab/adapters/suite/polyglot/python-error-handling/task.toml",
    } <= names
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]
    assert "cab/__init__.py" not in names


def test_its_record_is_right(wheel: Path) -> None:
    """RECORD names each file of the wheel with its digest and size."""
    with zipfile.ZipFile(wheel) as archive:
        [record] = [name for name in archive.namelist() if name.endswith("/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        for name, digest, size in rows:
            if name != record:
                data = archive.read(name)
                found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
                assert (digest, size) == (f"sha256={found.decode()}", str(len(data)))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())


def test_it_installs_and_can_be_packed_again(wheel: Path, tmp_path: Path) -> None:
    """From an installed wheel the same wheel is made: an image in an image has the same code."""
    site = tmp_path / "site"
    options = ("--no-deps", "--no-index", "--no-compile", "--target", str(site))
    subprocess.run([find_uv_bin(), "pip", "install", "-q", *options, str(wheel)], check=True)
    again = tmp_path / "again"
    again.mkdir()
    # -S: without our own editable install, which would be found as well.
    code = (
        "import sys; site, packages, folder = sys.argv[1:]; sys.path += [site, packages]\n"
        "from pathlib import Path; import cab.adapters\n"
        "from cab.adapters.install.images.own_wheel import write_own_wheel\n"
        "assert cab.adapters.__file__.startswith(site)\n"
        "write_own_wheel(Path(folder))"
    )
    packages = Path(str(distribution("pydantic").locate_file("")))
    command = (sys.executable, "-S", "-B", "-c", code, site, packages, again)
    subprocess.run(command, check=True)
    [packed] = again.iterdir()
    assert packed.read_bytes() == wheel.read_bytes()


def test_versions_are_those_that_run_here() -> None:
    """Each direct requirement is pinned to the installed version, and so are requirements of those."""
    pins = dict(line.split("==") for line in own_versions())
    for name in ("aiohttp", "pydantic", "orjson", "pydantic-core", "multidict"):
        assert pins[name] == distribution(name).version
    assert not {"pyarrow", "tokenizers", "cryptography", DISTRIBUTION} & set(pins)
