"""Commands are run in this process here, in a folder of the test's own."""

import asyncio
import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from cab.proxy.demo import running_demo


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests, and none left behind."""
    for name in [name for name in os.environ if name.startswith("CAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def demo_url(request: pytest.FixtureRequest) -> Generator[str]:
    """A model server that runs beside the commands, on a loop of its own; its parameter is a fault mode."""
    fault_mode: str | None = getattr(request, "param", None)
    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with running_demo(fault_mode=fault_mode) as demo:
            urls.append(demo.url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    yield urls[0]
    done.set()
    thread.join()
