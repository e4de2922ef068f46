"""What is around every page: its policy, its stylesheet, its script; beside it in a site, or in it."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from markupsafe import Markup

from cab.proxy.control.live.files import STYLESHEET

ASSETS = Path(__file__).parents[1] / "assets"
PLAYER = "asciinema-player"

_SHEETS = ("style.css", f"{PLAYER}/asciinema-player.css")
_SCRIPTS = ("site.js", f"{PLAYER}/asciinema-player.min.js")

SITE_PAGES = (("Overview", "index.html"), ("Compare", "compare.html"), ("Cells", "cells.html"))
"""Title and file of the pages that each page links to."""


@dataclass(frozen=True, slots=True)
class PageFrame:
    """The frame of a page.

    A page of a site names stylesheet and script by path; a page that is one file holds them, and its
    policy names them by their digest: nothing else can run in either.
    """

    root: str | None
    """Path from the page to the site's folder; None if the page is one file."""

    @property
    def pages(self) -> tuple[tuple[str, str], ...]:
        """The pages that the head of a page links to."""
        return SITE_PAGES

    def policy(self, has_player: bool) -> str:
        """Return the content security policy; WebAssembly runs only where the player is."""
        if self.root is None:
            scripts = " ".join(_digest(file) for file in _of(_SCRIPTS, has_player))
            styles = " ".join(_digest(file) for file in _of(_SHEETS, has_player))
        else:
            scripts = styles = "'self'"
        if has_player:
            scripts += " 'wasm-unsafe-eval'"
        return (
            f"default-src 'none'; script-src {scripts}; style-src {styles}; "
            "img-src 'self' data:; base-uri 'none'; form-action 'none'"
        )

    def sheets(self, has_player: bool) -> list[Markup]:
        """Return the elements of the stylesheets."""
        if self.root is None:
            return [Markup(f"<style>{_text(file)}</style>") for file in _of(_SHEETS, has_player)]
        link = Markup('<link rel="stylesheet" href="{}assets/{}">')
        return [link.format(self.root, file) for file in _of(_SHEETS, has_player)]

    def scripts(self, has_player: bool) -> list[Markup]:
        """Return the elements of the scripts, the player's first."""
        files = reversed(_of(_SCRIPTS, has_player))
        if self.root is None:
            return [Markup(f"<script>{_text(file)}</script>") for file in files]
        script = Markup('<script src="{}assets/{}"></script>')
        return [script.format(self.root, file) for file in files]


def _of(files: tuple[str, str], has_player: bool) -> tuple[str, ...]:
    return files if has_player else files[:1]


@cache
def _text(file: str) -> str:
    return (STYLESHEET if file == STYLESHEET.name else ASSETS / file).read_text("utf-8")


@cache
def _digest(file: str) -> str:
    return f"'sha256-{b64encode(sha256(_text(file).encode()).digest()).decode()}'"
