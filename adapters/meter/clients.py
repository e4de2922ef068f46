"""The variables in which clients of model APIs look for an address and a key: one table.

Two kinds of clients read them: libraries (openai, anthropic, google-genai, litellm) and agents.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cab.proxy.config import is_loopback


class ClientApi(NamedTuple):
    """The clients of one provider's API."""

    name: str
    """As the library genai-prices names the provider."""
    urls: tuple[str, ...]
    """Variables for the base URL; the first one that is set counts."""
    keys: tuple[str, ...]
    """Variables for the key, the same way; the first is set where the user has none."""
    default_url: str
    """Where these clients call if no variable says otherwise."""
    path: str = "/v1"
    """What the base URL of these clients ends with."""
    key_header: str | None = None
    """Header in which the provider wants the key, if it does not take it as a bearer token."""
    token: str | None = None
    """The one of `keys` that is sent as a bearer token all the same."""
    is_common: bool = True
    """Whether an endpoint that serves several APIs may be expected to serve this one."""


APIS: Final = (
    ClientApi(
        name="openai",
        urls=("OPENAI_BASE_URL", "OPENAI_API_BASE", "AIDER_OPENAI_API_BASE"),
        keys=("OPENAI_API_KEY", "AIDER_OPENAI_API_KEY", "CODEX_API_KEY"),
        default_url="https://api.openai.com/v1",
    ),
    ClientApi(
        name="anthropic",
        urls=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "AIDER_ANTHROPIC_API_KEY"),
        default_url="https://api.anthropic.com",
        path="",
        key_header="x-api-key",
        token="ANTHROPIC_AUTH_TOKEN",
    ),
    ClientApi(
        name="google",
        urls=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE"),
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        default_url="https://generativelanguage.googleapis.com",
        path="",
        key_header="x-goog-api-key",
    ),
    ClientApi(
        name="openrouter",
        urls=("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
        keys=("OPENROUTER_API_KEY",),
        default_url="https://openrouter.ai/api/v1",
        is_common=False,
    ),
    ClientApi(
        name="deepseek",
        urls=("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE"),
        keys=("DEEPSEEK_API_KEY",),
        default_url="https://api.deepseek.com/v1",
        is_common=False,
    ),
    ClientApi(
        name="mistral",
        urls=("MISTRAL_BASE_URL", "MISTRAL_API_BASE"),
        keys=("MISTRAL_API_KEY",),
        default_url="https://api.mistral.ai/v1",
        is_common=False,
    ),
    ClientApi(
        name="x-ai",
        urls=("XAI_BASE_URL", "XAI_API_BASE"),
        keys=("XAI_API_KEY",),
        default_url="https://api.x.ai/v1",
        is_common=False,
    ),
)

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


def own_url(api: ClientApi, environment: Mapping[str, str]) -> str | None:
    """Return the base URL that an environment names for an API; None if it names none."""
    return next((environment[name] for name in api.urls if environment.get(name)), None)


def own_key(api: ClientApi, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the variable that holds the key of an API, and the key; None if there is none."""
    return next(((name, environment[name]) for name in api.keys if environment.get(name)), None)


def client_variables(
    api: ClientApi, url: str, key: str | None, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the variables that lead the clients of an API to a proxy.

    Args:
        api: The API.
        url: The proxy, without /v1.
        key: What they send as their key; None leaves them their own.
        environment: Theirs. Of the variables for keys, those that it has are replaced: clients complain
            about two different ones.
    """
    for name in api.urls:
        yield name, f"{url}{api.path}"
    if key is not None:
        for name in [name for name in api.keys if environment.get(name)] or api.keys[:1]:
            yield name, key


def http_proxy_of(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the HTTP proxy through which a client with this environment would call a URL; None for none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or is_loopback(host):
        return None
    names = [
        each for name in (f"{parts.scheme}_proxy", "all_proxy") for each in (name, name.upper())
    ]
    found = next((environment[name] for name in names if environment.get(name)), None)
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    ends = [each.strip().lstrip(".") for each in exempt.split(",")]
    is_exempt = any(each == "*" or f".{host}".endswith(f".{each}") for each in ends if each)
    return None if is_exempt else found


def unproxied(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that keep calls to this machine away from an HTTP proxy, where one is set."""
    if not any(environment.get(each) for name in _PROXIES for each in (name, name.upper())):
        return
    for name in ("no_proxy", "NO_PROXY"):
        hosts = environment.get(name) or environment.get(name.swapcase()) or ""
        if hosts.strip() != "*":
            yield name, ",".join([*filter(None, [hosts]), "127.0.0.1", "localhost"])
