"""Blocks to paste that run a cell again. Each runs as it stands; no key is in it.

Every name is quoted for the shell: an agent, a model or a task may be named by somebody hostile.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, Final, NamedTuple

from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.agents.shell_snippet import placeholder_run, shell_snippet
from cab.adapters.errors import AdapterError
from cab.adapters.install.images.build_request import agent_image_name
from cab.adapters.report.cell.facts import ReportCell, page_part
from cab.adapters.runs.inside import roles
from cab.adapters.runs.spec import TIMEOUT_S
from cab.adapters.sandboxes import docker
from cab.adapters.sandboxes.deviations import ALLOWED
from cab.adapters.sandboxes.images import Image, parse_image
from cab.adapters.sandboxes.limits import CONTAINER_NAMES, LOCAL_NAMES, ResourceLimits
from cab.scoring.files import is_list, is_object

_NEEDS = (
    ': "${CAB_ENDPOINT:?set CAB_ENDPOINT to the URL of the endpoint}" \\\n'
    '  "${CAB_KEY:?set CAB_KEY to its key}"'
)
_LOCAL: Final = "localhost/"  # first part of the names of images that no registry has
_ENGINE: Final = "engine=docker; docker info >/dev/null 2>&1 || engine=podman"
_EXPORTS = "export CAB_ENDPOINT CAB_KEY"
_NEEDS_MODEL = f'{_NEEDS} \\\n  "${{CAB_MODEL:?set CAB_MODEL to the model}}"'


class PasteBlock(NamedTuple):
    """One block."""

    name: str
    """For the id of its element."""
    title: str
    text: str
    note: str = ""


def paste_blocks(cell: ReportCell) -> list[PasteBlock]:
    """Return the blocks in the order of the published page."""
    return list(_blocks(cell))


def _blocks(cell: ReportCell) -> Iterator[PasteBlock]:
    tui, model, task = quote(cell.agent), quote(cell.model), quote(cell.task_id)
    run = _image_lines(cell)
    if run is not None:
        yield PasteBlock("image", "The exact image", _block(_NEEDS, _EXPORTS, *run))
    again = f"cab run-cell --tui {tui} --model {model} \\\n  --task {task}{_options_text(cell)}"
    install = _install(cell)
    yield PasteBlock("cell", "This cell again", _block(_NEEDS, *install, again))
    own = f'cab run-cell --tui {tui} --model "$CAB_MODEL" \\\n  --task {task}'
    yield PasteBlock("own", "Your own model", _block(_NEEDS_MODEL, *install, own))
    wiring = _wiring(cell)
    if wiring is not None:
        note = "The agent alone, without a meter, wired to your endpoint in a HOME of its own."
        yield PasteBlock("wiring", f"{cell.agent}: your own endpoint", wiring, note)
    check = f'cab check --model "$CAB_MODEL" --tui {tui} \\\n  --task {task}'
    note = "Provisional, not for citation: does the endpoint work, and are its calls metered?"
    yield PasteBlock("check", "Check first", _block(_NEEDS_MODEL, *install, check), note)


def _block(*lines: str) -> str:
    """Return a subshell: what is set or fails in it leaves the user's shell as it was."""
    return "\n".join(("(", "set -e", *lines, ")"))


def _install(cell: ReportCell) -> list[str]:
    """Return the line that installs the agent, if it is one that does not come with CAB."""
    if cell.agent == "scripted" or cell.agent not in ADAPTERS:
        return []
    return [f"cab adapters install {quote(cell.agent)}"]


def _image_lines(cell: ReportCell) -> list[str] | None:
    """Return the lines that get the image of a cell and run the cell in it again; None without an image.

    An image that no registry has gets the line that builds it: a digest of this machine's would be
    found nowhere else.
    """
    identity = _identity(cell)
    image = _image(identity)
    if image is None:
        return None
    local = image.repository.startswith(_LOCAL)
    if local:
        image = image._replace(digest=None)
    reference = quote(image.reference)
    words = f"run-cell --tui {quote(cell.agent)} --model {quote(cell.model)} \\\n  --task {quote(cell.task_id)}"
    if cell.is_published:  # the published images bring the command along
        return [
            f"docker pull {reference}",
            f"docker run --rm -e CAB_ENDPOINT -e CAB_KEY \\\n  {reference} \\\n  {words}",
        ]
    get = _build_lines(cell, image) if local else None
    if identity.get("sandbox") == roles.NAME:
        return [
            _ENGINE,
            *(get or [f'"$engine" pull {reference}']),
            *_inside(reference, words, cell),
        ]
    sandbox = f"  --sandbox docker --image {reference}{_deviate(identity)}"
    pull = get or [f"docker pull {reference}"]
    return [*pull, f"cab {words} \\\n{sandbox}{_options_text(cell)}"]


def _options_text(cell: ReportCell) -> str:
    """Return the options of `run-cell` with which a cell was not run by default; empty if there are none."""
    return "".join(f" \\\n  {option}" for option in _options(cell))


def _inside(reference: str, words: str, cell: ReportCell) -> Iterator[str]:
    yield "mkdir -p runs"  # an engine that makes it would make it root's
    run = '"$engine" run --rm -e CAB_ENDPOINT -e CAB_KEY'
    if "@" in reference:  # an image cannot know its own digest
        run = f"{run} -e {roles.IMAGE_VARIABLE}={reference}"
    yield f'{run} \\\n  -v "$PWD/runs:/runs" {reference} \\\n  {words}{_options_text(cell)}'


def _build_lines(cell: ReportCell, image: Image) -> list[str]:
    ours = cell.agent in ADAPTERS and image.tag and agent_image_name(cell.agent, image.tag)
    if image.tag and image.name == ours:
        return [f"cab images build {cell.agent} --agent-version {quote(image.tag)}"]
    return [f"# {quote(image.name)} was built by hand; no registry has it"]


def _options(cell: ReportCell) -> Iterator[str]:
    attrs = {each.kind: each.attrs for each in reversed(cell.spans)}
    whole, container = attrs.get("adapter_run", {}), attrs.get("container", {})
    if cell.is_published:
        return
    timeout_s = whole.get("timeout_s")
    if isinstance(timeout_s, int | float) and timeout_s != TIMEOUT_S:
        yield f"--timeout-s {timeout_s:g}"
    boxed = _identity(cell).get("sandbox") == docker.NAME
    yield from _limits(container.get("limits"), CONTAINER_NAMES if boxed else LOCAL_NAMES)
    plugins = whole.get("plugin_stack")
    for name in plugins if is_list(plugins) else ():
        yield f"--plugin {quote(str(name))}"


def _limits(recorded: object, names: Sequence[str]) -> Iterator[str]:
    """Yield the limits that were not the default."""
    if not is_object(recorded):
        return
    usual = ResourceLimits().among(names)
    for name in names:
        value = recorded.get(name)
        if value == usual.get(name) or not isinstance(value, int | float | None):
            continue
        yield f"--limit {name.replace('_', '-')}={'off' if value is None else format(value, '.15g')}"


def _deviate(identity: dict[str, Any]) -> str:
    listed = identity.get("deviations")
    words = [str(each.get("name")) for each in listed if is_object(each)] if is_list(listed) else []
    return "".join(f" --deviate {word}" for word in ALLOWED if word in words)


def _identity(cell: ReportCell) -> dict[str, Any]:
    if cell.scored.cell is not None:
        return cell.scored.cell.identity.model_dump()
    return page_part(cell, "identity")


def _image(identity: dict[str, Any]) -> Image | None:
    """Return the image that a cell ran in, with a single `sha256:`."""
    name, digest = identity.get("container_image"), identity.get("image_digest")
    if not isinstance(name, str):
        return None
    reference = f"{name.partition('@')[0]}@{digest}" if isinstance(digest, str) else name
    try:
        return parse_image(reference)
    except AdapterError:
        return None


def _wiring(cell: ReportCell) -> str | None:
    """Return how the agent itself is wired to an endpoint.

    Only built-in adapters are asked: the name of a cell's agent must not import anything.
    """
    if cell.agent not in ADAPTERS or cell.prompt is None:
        return None
    try:
        adapter = load_adapter(cell.agent)
    except AdapterError:
        return None
    install = adapter.facts.install
    if install is None:
        return None  # it comes with CAB, and `cab run-cell` is how to start it
    run = placeholder_run(Path(install.executable), None, None, cell.prompt)
    return shell_snippet(adapter.launch(run), _on_path(cell.agent, install.executable))


def _on_path(agent: str, executable: str) -> str:
    """Return the line that installs an agent unless it is on the PATH, and puts it there."""
    install = f'found="$(cab adapters install {quote(agent)})"'
    put = 'PATH="$(dirname "${found#*: }"):$PATH"'
    return f"command -v {quote(executable)} >/dev/null || {{ {install} && {put}; }} || exit"
