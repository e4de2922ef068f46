"""A request as far as its head goes, whoever read it: aiohttp, or our own wire."""

from collections.abc import Sequence
from typing import Protocol

from multidict import CIMultiDictProxy


class HttpRequest(Protocol):
    """The head of a request."""

    @property
    def method(self) -> str:
        """HTTP method."""
        ...

    @property
    def raw_path(self) -> str:
        """The target as it was sent."""
        ...

    @property
    def version(self) -> tuple[int, int]:
        """HTTP version."""
        ...

    @property
    def scheme(self) -> str:
        """`http`, or `https`."""
        ...

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, by name."""
        ...

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers, as they came."""
        ...
