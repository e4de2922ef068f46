"""Images, sounds and files in messages: their type and size."""

import re

from cab.scoring.evidence.messages.model import SaidMedia

_DATA_URL = re.compile(r"data:([^;,]{0,200})([^,]{0,200}),", re.IGNORECASE)


def base64_bytes(data: object) -> int | None:
    """Return how many bytes a base64 text stands for; None if it is not text.

    >>> base64_bytes("aGVsbG8=")
    5
    """
    if not isinstance(data, str):
        return None
    digits = len(data) - sum(map(data.count, ("=", "\n", "\r", " ")))
    return digits * 3 // 4


def media_at(media: str, url: object, media_type: str | None = None) -> SaidMedia:
    """Return what is at a URL, which may hold it.

    >>> media_at("image_url", "data:image/png;base64,aGVsbG8=")
    SaidMedia(media='image_url', media_type='image/png', size_bytes=5, reference=None)
    """
    if not isinstance(url, str):
        return SaidMedia(media, media_type)
    match = _DATA_URL.match(url)
    if match is None:
        return SaidMedia(media, media_type, None, url)
    rest = url[match.end() :]
    size = base64_bytes(rest) if "base64" in match[2].lower() else len(rest)
    return SaidMedia(media, match[1] or media_type, size)


def inline_media(media: str, data: object, media_type: str | None) -> SaidMedia:
    """Return what stands in base64 in a message."""
    if isinstance(data, str) and _DATA_URL.match(data):
        return media_at(media, data, media_type)
    return SaidMedia(media, media_type, base64_bytes(data))
