"""Which models of an endpoint may be asked for usage in a stream, as its answers have shown."""

_REMEMBERED_NS = 600 * 1_000_000_000
"""An endpoint may be upgraded, and a refusal may depend on the rest of the request."""
_MAX_MODELS = 1000


class UsageRequests:
    """What one endpoint has shown, by model, for a while."""

    def __init__(self) -> None:
        self._shown: dict[str | None, tuple[bool, int]] = {}

    def accepted(self, model: str | None, now_ns: int) -> bool | None:
        """Return whether the endpoint takes the request for usage; `None` if it has not shown it."""
        accepted, until_ns = self._shown.get(model, (None, 0))
        return accepted if now_ns < until_ns else None

    def note(self, model: str | None, now_ns: int, *, accepted: bool) -> None:
        """Remember what an answer has shown."""
        if len(self._shown) >= _MAX_MODELS:
            self._shown.clear()
        self._shown[model] = (accepted, now_ns + _REMEMBERED_NS)
