"""Badges: small SVG images that need nothing else, and the JSON that shields.io's endpoint badge reads."""

import unicodedata
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from cab.adapters.report.render.environment import html

LABEL = "CAB"

_COLOURS = {True: "#0b5cad", False: "#b3261e", None: "#54585e"}
"""Passed, failed, no verdict; white text on each has a contrast of 6.4 or more."""
_LABEL_COLOUR = "#191a1c"
_PADDING = 7

_WIDTHS = {
    char: width
    for width, chars in {
        3.0: "'ijl",
        3.3: " ,.IJ",
        3.8: "/:;\\f|",
        4.1: "()[]-",
        4.5: "!rt",
        5.0: '"',
        5.7: "*?_`sz–",
        6.3: "FLck",
        6.7: "PTYaeovxy",
        7.0: "$0123456789ESbdghnpqu{}",
        7.5: "ABCKRVXZ",
        8.1: "HNU",
        8.5: "&DGOQ",
        9.1: "#+<=>^w~×≈",
        9.4: "M",
        10.8: "%Wm",
        11.0: "@…",
    }.items()
    for char in chars
}
"""Advances in px at 11 px: DejaVu Sans as Chromium measures it; Verdana's are alike."""
_OTHER_WIDTH, _FULL_WIDTH = 9.0, 11.0


class BadgeText(NamedTuple):
    """What a badge says."""

    label: str
    message: str
    passed: bool | None
    """Its colour; None if there is no verdict."""

    @property
    def words(self) -> str:
        """The whole text, for readers without the image."""
        return f"{self.label}: {self.message}"


def text_width(text: str) -> float:
    """Return about how many px wide a text is."""
    return sum(_WIDTHS.get(char) or _other_width(char) for char in text)


def _other_width(char: str) -> float:
    if unicodedata.combining(char):
        return 0.0
    return _FULL_WIDTH if unicodedata.east_asian_width(char) in "WF" else _OTHER_WIDTH


def shortened(text: Markup, most_px: float) -> Markup:
    """Return a text that is at most that wide at 11 px; its middle makes room for `…`.

    Args:
        text: Escaped.
        most_px: Its width.
    """
    plain = text.unescape()
    if text_width(plain) <= most_px:
        return text
    kept = next(n for n in range(len(plain), -1, -1) if text_width(_cut(plain, n)) <= most_px)
    return escape(_cut(plain, kept))


def _cut(text: str, kept: int) -> str:
    """Return a text with that many of its characters: the more at its beginning."""
    end = kept // 3
    return f"{text[: kept - end]}…{text[len(text) - end :]}"


def badge_svg(badge: BadgeText) -> str:
    """Return a badge as SVG: no font, no style and no request of its own."""
    label, message = html(badge.label), html(badge.message)
    left = round(text_width(label.unescape())) + 2 * _PADDING
    right = round(text_width(message.unescape())) + 2 * _PADDING
    text = Markup('<text x="{}" y="14" textLength="{}" fill="#fff">{}</text>')
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="20" role="img" '
            'aria-label="{1}"><title>{1}</title>'
            '<rect width="{0}" height="20" rx="3" fill="{2}"/>'
            '<path d="M{3} 0h{4}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{4}z" fill="{5}"/>'
            '<g font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{6}{7}</g></svg>\n'
        ).format(
            left + right,
            html(badge.words),
            _LABEL_COLOUR,
            left,
            right - 3,
            _COLOURS[badge.passed],
            text.format(_PADDING, left - 2 * _PADDING, label),
            text.format(left + _PADDING, right - 2 * _PADDING, message),
        )
    )


def badge_endpoint(badge: BadgeText) -> dict[str, Any]:
    """Return the same for shields.io's endpoint badge, schema version 1."""
    return {
        "schemaVersion": 1,
        "label": html(badge.label).unescape(),
        "message": html(badge.message).unescape(),
        "color": _COLOURS[badge.passed].removeprefix("#"),
    }
