"""The text of an answer, kept for counting tokens where the endpoint reports none."""

from collections.abc import Hashable

from cab.proxy.meter.json_values import as_list, as_object, clean

_MANY = 512


class Texts:
    """Joins the pieces of each text of an answer.

    Args:
        limit_chars: Once this much has been seen in all, nothing more is kept.
    """

    def __init__(self, limit_chars: int) -> None:
        self._room_chars = limit_chars
        self._pieces: dict[Hashable, list[str]] = {}
        self._joined: dict[Hashable, list[str]] = {}
        self.truncated = False
        """Whether something was left out."""

    def add(self, key: Hashable, piece: str) -> None:
        """Append `piece` to the text named by `key`."""
        self._room_chars -= len(piece)
        if self._room_chars < 0:
            self.truncated = True
            return
        pieces = self._pieces.get(key)
        if pieces is None:
            self._pieces[key] = [piece]
        else:
            pieces.append(piece)
            if len(pieces) == _MANY:  # a short text takes ten times its characters
                self._joined.setdefault(key, []).append("".join(pieces))
                pieces.clear()

    def add_all(self, key: Hashable, pieces: list[str]) -> None:
        """Append pieces to the text named by `key`."""
        kept, size_chars = self._pieces.get(key), sum(map(len, pieces))
        if kept is None or size_chars > self._room_chars or len(kept) + len(pieces) >= _MANY:
            for piece in pieces:
                self.add(key, piece)
            return
        self._room_chars -= size_chars
        kept += pieces

    def joined(self) -> list[str]:
        """Return the texts, each in one piece, in the order in which they began."""
        return [
            clean("".join([*self._joined.get(key, ()), *pieces]))
            for key, pieces in self._pieces.items()
        ]


def text_of(value: object) -> str:
    """Return the text in a content value: a text, or a list of parts, or a part with a text.

    Mistral nests thinking as `[{"type": "thinking", "thinking": [{"type": "text", "text": ...}]}]`.
    """
    if isinstance(value, str):
        return value
    return "".join(_part_text(as_object(part)) for part in as_list(value))


def _part_text(part: dict[str, object]) -> str:
    for name in ("text", "refusal"):
        text = part.get(name)
        if isinstance(text, str):
            return text
    inner = as_list(part.get("thinking"))
    texts = (as_object(piece).get("text") for piece in inner)
    return "".join(text for text in texts if isinstance(text, str))
