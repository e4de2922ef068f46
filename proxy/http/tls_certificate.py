"""The certificate that a listener shows its clients, and how this program itself connects to that listener."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cab.proxy.errors import BadConfig


@dataclass(slots=True)
class ListenerTls:
    """What the clients of a listener speak TLS with; a reload replaces it for new connections."""

    context: ssl.SSLContext


def listener_context(cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext | None:
    """Return what clients of a listener speak TLS with; None without a certificate: they speak plain HTTP.

    Args:
        cert_file: The certificate, and those that lead to a known authority behind it, in PEM form.
        key_file: Its private key; None: the file of the certificate holds it.

    Raises:
        BadConfig: A file cannot be read, or the two do not belong together.
    """
    if cert_file is None:
        return None
    _require_readable("tls_cert_file", cert_file)
    if key_file is not None:
        _require_readable("tls_key_file", key_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        key = f" with tls_key_file {key_file}" if key_file else ""
        raise BadConfig(
            f"tls_cert_file {cert_file}{key} cannot be used: {_reason(error)}; give a certificate and its "
            "private key in PEM form, the key without a password"
        ) from error
    return context


def own_client_context(cert_file: Path | None) -> ssl.SSLContext | None:
    """Return how this program verifies its own listener, whatever names the certificate holds.

    Args:
        cert_file: The listener's certificate; None: it speaks plain HTTP.
    """
    if cert_file is None:
        return None
    context = ssl.create_default_context(cafile=cert_file)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def trust_certificate(context: ssl.SSLContext, cert_file: Path) -> None:
    """Have this program trust a further certificate of its own listener."""
    context.load_verify_locations(cafile=cert_file)


def _require_readable(name: str, file: Path) -> None:
    if file.is_fifo():  # it is opened more than once, and nobody may write to it
        raise BadConfig(f"{name} {file} is a pipe; give a regular file")
    try:
        file.open("rb").close()
    except OSError as error:
        raise BadConfig(
            f"{name} {file} cannot be read: {(error.strerror or '').lower()}"
        ) from error


def _no_password() -> str:
    raise ValueError("the private key has a password")


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
    return (reason or "not in PEM form").lower().replace("_", " ")
