"""A tiny agent that npm can install: packages written by hand, and a registry that serves them."""

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cab.adapters.agents.base import AgentFacts, Launch, NpmInstall, Output, RunContext

FACTS = AgentFacts(
    name="tinyjs",
    version="1.2.3",
    dialects=("chat.completions",),
    install=NpmInstall("@cab/tiny-agent", "tinyjs", node_min=(18,)),
)
AGENT = "#!/usr/bin/env node\nconsole.log('tinyjs', process.argv.slice(2), process.execPath)\n"


class TinyJs:
    """Its adapter."""

    facts = FACTS

    def launch(self, run: RunContext) -> Launch:
        return Launch((str(run.executable),))

    def self_report(self, output: Output) -> None:
        del output


class Package(NamedTuple):
    """One version of a package, as a registry holds it."""

    manifest: Mapping[str, Any]
    tarball: bytes


def package(name: str, version: str, files: Mapping[str, str], **manifest: Any) -> Package:
    """Pack files as npm does: below `package/`, with a package.json."""
    everything = {"name": name, "version": version, **manifest}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in {**files, "package.json": json.dumps(everything)}.items():
            info = tarfile.TarInfo(f"package/{path}")
            info.size, info.mode = len(text.encode()), 0o755
            archive.addfile(info, io.BytesIO(text.encode()))
    return Package(everything, packed.getvalue())


def agent_package(version: str = "1.2.3", **manifest: Any) -> Package:
    """Return the agent's package: one script."""
    bins = {"bin": {"tinyjs": "cli.js"}}
    return package("@cab/tiny-agent", version, {"cli.js": AGENT}, **{**bins, **manifest})


@contextmanager
def registry(*packages: Package) -> Generator[str]:
    """Serve packages as an npm registry does; give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = f"http://127.0.0.1:{server.server_port}"
            body = _answers(url, packages).get(self.path.lower().replace("%2f", "/"))
            self.send_response(404 if body is None else 200)
            body = body or b"{}"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _answers(url: str, packages: tuple[Package, ...]) -> dict[str, bytes]:
    """Return what each path is answered with: a document per package, and the tarballs."""
    answers: dict[str, bytes] = {}
    documents: dict[str, dict[str, Any]] = {}
    for number, (manifest, tarball) in enumerate(packages):
        name, version = manifest["name"], manifest["version"]
        answers[f"/{number}.tgz"] = tarball
        digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        dist = {"tarball": f"{url}/{number}.tgz", "integrity": f"sha512-{digest}"}
        document = documents.setdefault(name, {"name": name, "versions": {}})
        document["versions"][version] = {**manifest, "dist": dist}
        document["dist-tags"] = {"latest": version}
    return answers | {f"/{name}": json.dumps(each).encode() for name, each in documents.items()}


def use_registry(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a registry the only one of npm, and keep what it installs inside `folder`."""
    monkeypatch.setenv("npm_config_registry", url)
    monkeypatch.setenv("npm_config_cache", str(folder / "npm-cache"))
    monkeypatch.setenv("npm_config_userconfig", str(folder / "npmrc"))
    monkeypatch.setenv("npm_config_globalconfig", str(folder / "npmrc-global"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
