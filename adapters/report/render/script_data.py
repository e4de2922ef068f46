"""JSON within a page: it can end no element, and a script reads it with `JSON.parse`."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from markupsafe import Markup

from cab.adapters.report.render.visible import visible
from cab.scoring.printable import UNSEEN

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_for_script(data: object) -> Markup:
    r"""Return JSON for the content of a script element of type `application/json`.

    >>> print(json_for_script("</script>"))
    "\u003c/script\u003e"
    """
    text = orjson.dumps(data).decode().translate(_ESCAPES)
    return Markup(UNSEEN.sub(_escaped, text))


def _escaped(match: re.Match[str]) -> str:
    """Return what JSON calls a character that nobody sees; what is read back is the same."""
    return json.dumps(match[0])[1:-1]


def utf8(text: str) -> str:
    """Return a text that can be encoded: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class ColumnData:
    """One column of a table whose rows the script draws."""

    kind: Literal["step", "link", "number", "code", "text"]
    """How its fields look; the first column is `step` or `link`."""
    text: Sequence[str]
    """As they are shown."""
    raw: Sequence[str | float | None]
    """As they sort and are copied; None where nothing is known."""
    mark: Sequence[str] | None = None
    """Class of each one's mark, or nothing."""
    href: Sequence[str] | None = None
    """Where the links of a `link` column lead: pages of the site."""
    alarm: Sequence[bool] | None = None
    """Which of them say that something failed."""

    def as_data(self) -> dict[str, Any]:
        """Return what the script reads."""
        raw = [visible(value) if isinstance(value, str) else value for value in self.raw]
        found = {"kind": self.kind, "text": [visible(text) for text in self.text], "raw": raw}
        more = {"mark": self.mark, "href": self.href, "alarm": self.alarm}
        return found | {name: values for name, values in more.items() if values is not None}
