"""Badge and links of a cell, to put into a README or another page."""

import re
from html import escape
from typing import NamedTuple

from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.cell.summary import short_verdict
from cab.adapters.report.render.badge import LABEL, BadgeText
from cab.adapters.report.render.numbers import integer
from cab.adapters.report.render.visible import visible
from cab.scoring.profiles.builtin import DEFAULT_PROFILE

_MARKDOWN = re.compile(r"([\\`*_\[\]!|<>~&$])")
_LINE_END = re.compile(r"\s+")
_LABEL_CHARS = 60


class EmbedSnippets(NamedTuple):
    """What to paste elsewhere."""

    markdown: str
    html: str


def cell_badge(cell: ReportCell) -> BadgeText:
    """Return what the badge of a cell says."""
    verdict = short_verdict(cell.axes.pass_rate.passed)
    composite = cell.scored.profiles[DEFAULT_PROFILE].composite
    parts = [verdict.word]
    if composite is not None:
        parts.append(f"{composite:.2f}")
    if cell.total_tokens is not None:
        about = "≈" if cell.token_mark == "estimated" else ""
        parts.append(f"{about}{integer(cell.total_tokens)} tokens")
    name = f"{cell.agent} × {cell.model}"
    label = name if len(name) <= _LABEL_CHARS else f"{name[: _LABEL_CHARS - 1]}…"
    passed = cell.axes.pass_rate.passed
    return BadgeText(f"{LABEL} {label}", ", ".join(parts), None if passed is None else bool(passed))


def embed_snippets(cell: ReportCell, stem: str, base_url: str) -> EmbedSnippets:
    """Return the snippets.

    Args:
        cell: The cell.
        stem: Name of its page without suffix.
        base_url: Where the site is, with a slash at its end; may be empty.
    """
    words = _LINE_END.sub(" ", visible(f"{cell_badge(cell).words} on {cell.task_id}"))
    page, image = f"{base_url}cells/{stem}.html", f"{base_url}badges/{stem}.svg"
    text = _MARKDOWN.sub(r"\\\1", words)
    return EmbedSnippets(
        markdown=f"[![{text}]({image})]({page})",
        html=f'<a href="{escape(page)}"><img src="{escape(image)}" alt="{escape(words)}"></a>',
    )
