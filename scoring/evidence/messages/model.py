"""Messages and their parts, the same for all dialects; roles, names and ids are the dialect's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Speaker = Literal["system", "user", "assistant", "tool"]
"""Who speaks, in the same words for all dialects."""


@dataclass(frozen=True, slots=True)
class SaidText:
    """Text."""

    text: str


@dataclass(frozen=True, slots=True)
class SaidReasoning:
    """What a model thought."""

    text: str
    """Empty if the endpoint gave it encrypted only."""


@dataclass(frozen=True, slots=True)
class SaidToolCall:
    """A tool that a model calls."""

    name: str
    arguments: str
    """As the model wrote them; JSON but for tools that take plain text, and for answers that broke off."""
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class SaidMedia:
    """An image, a sound or a file: what it is, not what it holds."""

    media: str
    """What the dialect calls it, such as `image_url`."""
    media_type: str | None = None
    size_bytes: int | None = None
    """None if it is somewhere else, or its size cannot be read."""
    reference: str | None = None
    """Address, id or name of what is not in the body."""


@dataclass(frozen=True, slots=True)
class SaidOther:
    """Something that is not known here."""

    name: str
    """What the dialect calls it."""
    json: str
    """Its JSON; the text itself where it is not JSON."""


@dataclass(frozen=True, slots=True)
class SaidToolResult:
    """What a tool gave back."""

    parts: tuple["SaidPart", ...]
    name: str | None = None
    call_id: str | None = None
    is_error: bool = False


SaidPart = SaidText | SaidReasoning | SaidToolCall | SaidToolResult | SaidMedia | SaidOther


@dataclass(frozen=True, slots=True)
class SaidMessage:
    """One message; in the Responses dialect one item."""

    role: str
    """As the dialect calls it; for a prompt outside the messages the name of the member that holds it."""
    parts: tuple[SaidPart, ...]
    finish: str | None = None
    """Why an answer ended; None for messages of a request, and if it is not stated."""

    @property
    def speaker(self) -> Speaker:
        """Who speaks."""
        return _SPEAKERS.get(self.role.lower(), "user")


_SPEAKERS: Mapping[str, Speaker] = {
    **dict.fromkeys(("system", "developer", "instructions"), "system"),
    **dict.fromkeys(("systeminstruction", "system_instruction"), "system"),
    **dict.fromkeys(("assistant", "model"), "assistant"),
    **dict.fromkeys(("tool", "function"), "tool"),
}


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that a request offers to the model."""

    name: str
    description: str | None = None
    parameters: object = None
    """JSON schema of its arguments; None if there is none."""


@dataclass(frozen=True, slots=True)
class SaidRequest:
    """What a request says."""

    messages: tuple[SaidMessage, ...] = ()
    tools: tuple[OfferedTool, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    """All other members, as parsed."""


@dataclass(frozen=True, slots=True)
class SaidAnswer:
    """What an answer says."""

    messages: tuple[SaidMessage, ...] = ()
    """More than one if several were asked for, or if the dialect answers in items."""
    error: str | None = None
    """What the endpoint says went wrong."""


@dataclass(frozen=True, slots=True)
class SaidCall:
    """What was said in one call."""

    request: SaidRequest | None
    """None if its body is not known."""
    answer: SaidAnswer | None
    """None if its body is not known, or there was none."""
