"""Names of a site's files, made from cell ids: bounded, safe in any URL, and no two alike."""

import re
from hashlib import sha256

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_SLUG_CHARS = 90
_HEX_DIGITS = 6
_LONG_HEX_DIGITS = 16
STEM = rf"[A-Za-z0-9_-]+-(?:[0-9a-f]{{{_HEX_DIGITS}}}|[0-9a-f]{{{_LONG_HEX_DIGITS}}})"
"""Pattern of the names that `page_stem` returns."""


def page_stem(cell_id: str, run: str | None = None) -> str:
    """Return the name of a cell's page without its suffix: a slug, and hex digits of SHA-256.

    Args:
        cell_id: The cell's id; its sweep is not part of the slug.
        run: What tells two runs of one id apart, where a site has both.

    >>> page_stem("local/aider/acme/demo-2/polyglot/python-cron#run1")
    'aider-acme-demo-2-polyglot-python-cron-run1-9542f4'
    """
    _, _, rest = cell_id.partition("/")
    slug = _UNSAFE.sub("-", rest or cell_id).strip("-")[:_SLUG_CHARS] or "cell"
    if run is None:
        return f"{slug}-{_digest(cell_id)[:_HEX_DIGITS]}"
    both = f"{cell_id}\x00{run}"
    return f"{slug}-{_digest(both)[:_LONG_HEX_DIGITS]}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
