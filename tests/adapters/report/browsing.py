"""A real Chromium for pages: each page is watched while it is open."""

import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

SHOTS = Path(__file__).parents[3] / "screenshots"
"""Where what a test saw is kept, for people; git ignores it."""


@contextmanager
def running_chromium() -> Generator[Browser]:
    """Run Debian's Chromium, headless."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        # No sandbox: tests run as root in containers. The pages are our own.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve a folder over HTTP and yield its URL, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Watched:
    """A page, and all that went on in it that must not.

    Args:
        browser: Runs it.
        base: What every URL that it asks for begins with.
        options: Of the browser's context.
    """

    def __init__(self, browser: Browser, base: str, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        self._context = browser.new_context(**options)
        self.page: Page = self._context.new_page()
        self.base = base
        self.noise: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.noise.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.noise.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("popup", lambda popup: self.noise.append(f"popup: {popup.url}"))

    def _console(self, message: ConsoleMessage) -> None:
        self.noise.append(f"console: {message.text} {message.location['url']}")

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.base}/", "data:", "blob:")):
            self.noise.append(f"request: {url}")

    def open(self, path: str) -> Page:
        """Open a page of the site."""
        self.page.goto(f"{self.base}/{path}")
        return self.page

    def close(self) -> None:
        """Close it; nothing must have gone on."""
        self._context.close()
        assert not self.noise, self.noise
