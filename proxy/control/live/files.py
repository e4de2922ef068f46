"""Files of the live view; the stylesheet is that of all pages of CAB, those of `cab report` too."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
STYLESHEET = ASSETS / "style.css"
