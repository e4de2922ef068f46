"""Whether a URL begins with http:// where its server speaks TLS, or the other way round."""

import asyncio
import ssl
from urllib.parse import urlsplit, urlunsplit

_LIMIT_S = 5.0


async def scheme_fault(url: str) -> str | None:
    """Return what is wrong with a URL's scheme, and the fix; None if nothing is, or it cannot be seen.

    Args:
        url: With a valid host and port.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    secure = parts.scheme == "https"
    speaks = await _speaks_tls(parts.hostname, parts.port or (443 if secure else 80))
    if speaks is None or speaks == secure:
        return None
    other = urlunsplit(parts._replace(scheme="https" if speaks else "http"))
    return f"the server there speaks {'TLS' if speaks else 'no TLS'}: give {other}"


async def _speaks_tls(host: str, port: int) -> bool | None:
    """Return whether a server takes up TLS, be its certificate good or not; None if it does not say."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent; the certificate is judged elsewhere
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError:
        return False
    except (OSError, UnicodeError):  # TimeoutError is one
        return None
    writer.transport.abort()
    return True
