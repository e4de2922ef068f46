"""Images that an engine has: the engine is asked each time, so nothing about them can be out of date."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pydantic import BaseModel, Field, ValidationError

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.install.images.build_request import CHECKS
from cab.adapters.sandboxes.engine import ContainerEngine
from cab.adapters.sandboxes.images import parse_image

LABEL = "cab.image"
"""Label of every image that is built here: the name of its agent, or `checks`."""

SBOM = "/opt/cab/sbom.json"
"""Where an image lists what is in it."""

_LIST_AGAIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image that an engine has."""

    name: str
    """As it was asked for, or its first name; its id where it has none."""
    id: str
    """`sha256:` and the digest of its configuration: the same for every engine."""
    digest: str | None
    """`sha256:` and the digest of its manifest, by which a registry would know it; None where the engine has none."""
    created: datetime.datetime
    size_bytes: int
    layers: tuple[str, ...]
    """Digests of the uncompressed layers, the lowest first."""
    labels: Mapping[str, str]

    @property
    def reference(self) -> str:
        """What a build is given as its base: this image and no later one of the same name."""
        return self.name if "@" in self.name else self.id


class _Config(BaseModel):
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _RootFS(BaseModel):
    layers: tuple[str, ...] = Field(default=(), alias="Layers")


class _Inspected(BaseModel):
    id: str = Field(alias="Id")
    digest: str | None = Field(default=None, alias="Digest")
    names: tuple[str, ...] | None = Field(default=None, alias="RepoTags")
    created: datetime.datetime = Field(alias="Created")
    size_bytes: int = Field(alias="Size")
    config: _Config = Field(default=_Config(), alias="Config")
    files: _RootFS = Field(default=_RootFS(), alias="RootFS")


async def find_image(engine: ContainerEngine, name: str) -> BuiltImage:
    """Return an image by its name.

    Raises:
        AdapterError: The engine does not have it.
    """
    reference = parse_image(name).reference
    answer = await engine.ask("image", "inspect", reference)
    if answer.code:
        raise AdapterError(
            f"image {reference} is not on this machine; cab images list shows those that are"
        )
    [found] = _read(answer.stdout)
    return _built(found, name)


async def list_images(engine: ContainerEngine) -> list[BuiltImage]:
    """Return all images that were built here, by name; older ones that lost their name are left out."""
    words = ("images", "--quiet", "--no-trunc", "--filter", f"label={LABEL}")
    answer = await engine.ask(*words, "--filter", "dangling=false")
    for _ in range(_LIST_AGAIN):  # podman fails where an image is removed while it lists them
        if answer.code:
            answer = await engine.ask(*words, "--filter", "dangling=false")
    if answer.code:
        raise RunFailed(f"{engine.program} cannot list its images: {answer.summary}")
    ids = sorted(set(answer.stdout.split()))
    if not ids:
        return []
    inspected = await engine.ask("image", "inspect", *ids)
    found = [_built(each, name) for each in _read(inspected.stdout) for name in each.names or ()]
    return sorted(found, key=lambda each: each.name)


async def find_built(engine: ContainerEngine, what: str) -> BuiltImage:
    """Return an image of an agent, or of the checks, by a short name or by that of the image.

    Raises:
        AdapterError: There is none, or several of that agent.
    """
    found = [each for each in await list_images(engine) if each.labels.get(LABEL) == what]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise AdapterError(f"there are several images of {what}; name one of {names}")
    if found:
        return found[0]
    if "/" in what or ":" in what:
        return await find_image(engine, what)
    built = "the checks" if what == CHECKS else what
    raise AdapterError(f"there is no image of {built}; build it with: cab images build {what}")


async def read_sbom(engine: ContainerEngine, image: BuiltImage) -> bytes:
    """Return the list of what is in an image, as it lies there.

    Raises:
        AdapterError: It has none.
    """
    words = ("run", "--rm", "--network", "none", "--entrypoint", "cat", image.id, SBOM)
    answer = await engine.ask(*words)
    if answer.code:
        raise AdapterError(
            f"image {image.name} has no list of its contents ({answer.summary}); build it again with cab images build"
        )
    return answer.stdout.encode()


def _read(text: str) -> list[_Inspected]:
    try:
        return [_Inspected.model_validate(each) for each in orjson.loads(text)]
    except (ValueError, TypeError, ValidationError) as error:
        raise RunFailed(f"the container engine's answer cannot be read: {text[:80]!r}") from error


def _built(found: _Inspected, name: str) -> BuiltImage:
    prefixed = found.id if found.id.startswith("sha256:") else f"sha256:{found.id}"
    return BuiltImage(
        name=name,
        id=prefixed,
        digest=found.digest or None,
        created=found.created,
        size_bytes=found.size_bytes,
        layers=found.files.layers,
        labels=found.config.labels or {},
    )
