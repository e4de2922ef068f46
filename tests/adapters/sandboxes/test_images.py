"""Names of container images."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.errors import AdapterError
from cab.adapters.sandboxes.images import Image, digest_of, parse_image, published_image

HEX = "f2cd27890475900f9cb617b1c7a6328989a48e8168e7280ac2247a5d2d26d8a1"
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("busybox", Image("busybox", None, None)),
        ("codingagentbench/aider:v0.86.0", Image("codingagentbench/aider", "v0.86.0", None)),
        (f"a/b:1@{DIGEST}", Image("a/b", "1", DIGEST)),
        (f"a/b@{DIGEST}", Image("a/b", None, DIGEST)),
        (f"a/b:1@sha256:{DIGEST}", Image("a/b", "1", DIGEST)),
        ("registry.example:5000/a/b-c:x", Image("registry.example:5000/a/b-c", "x", None)),
        ("localhost/a", Image("localhost/a", None, None)),
    ],
)
def test_parts(text: str, image: Image) -> None:
    """Repository, tag and digest are parsed; a doubled algorithm counts once."""
    assert parse_image(text) == image
    assert parse_image(image.reference) == image


@pytest.mark.parametrize(
    "text", ["", "Upper", "a b", "-x", "--privileged", "a:", "a@sha256:12", "a/", "a:b:c", "a\n"]
)
def test_no_image(text: str) -> None:
    """A text that is not the name of an image, or is an option, is refused."""
    with pytest.raises(AdapterError, match="is not the name of an image"):
        parse_image(text)


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever the text, it is an image with one `sha256:` at most, or refused."""
    try:
        image = parse_image(text)
    except AdapterError:
        return
    assert image.reference.count("sha256:") <= 1
    assert not text.startswith("-")


def test_published() -> None:
    """An image without tag and digest is that of the agent's version; any other is as given."""
    assert published_image("a/b", "1.2").reference == "a/b:1.2"
    assert published_image("a/b:x", "1.2").reference == "a/b:x"
    assert published_image(f"a/b@{DIGEST}", "1.2").reference == f"a/b@{DIGEST}"


@pytest.mark.parametrize(
    ("name", "known", "digest"),
    [
        ("a/b:1", [], None),
        ("a/b:1", [f"a/b@{DIGEST}"], DIGEST),
        ("a/b:1", [f"docker.io/a/b@{DIGEST}"], DIGEST),
        ("busybox", [f"docker.io/library/busybox@{DIGEST}"], DIGEST),
        ("a/b:1", [f"x/y@{DIGEST}"], DIGEST),
        ("a/b:1", [f"x/y@sha256:{'0' * 64}", f"a/b@{DIGEST}"], DIGEST),
        ("a/b:1", [f"x/y@sha256:{'0' * 64}", f"x/z@{DIGEST}"], None),
        (f"a/b@sha256:{'1' * 64}", [f"a/b@{DIGEST}"], f"sha256:{'1' * 64}"),
    ],
)
def test_digest(name: str, known: list[str], digest: str | None) -> None:
    """The digest is the one that was asked for, or the one that the engine has; else unknown."""
    assert digest_of(parse_image(name), known) == digest
