"""Blocks to paste that run a cell again. Each runs as it stands; no key is in it.

Every name is quoted for the shell: an agent, a model or a task may be named by somebody hostile.
"""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.agents.shell_snippet import placeholder_run, shell_snippet
from cab.adapters.errors import AdapterError
from cab.adapters.report.cell.facts import ReportCell, page_part
from cab.adapters.sandboxes.images import Image, parse_image

_NEEDS = (
    ': "${CAB_ENDPOINT:?set CAB_ENDPOINT to the URL of the endpoint}" \\\n'
    '  "${CAB_KEY:?set CAB_KEY to its key}"'
)
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
    image = _image(cell)
    if image is not None:
        yield _exact_image(cell, image)
    again = f"cab run-cell --tui {tui} --model {model} \\\n  --task {task}"
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


def _image(cell: ReportCell) -> Image | None:
    """Return the image that a cell ran in, with a single `sha256:`."""
    if cell.scored.cell is not None:
        identity = cell.scored.cell.identity.model_dump()
    else:
        identity = page_part(cell, "identity")
    name, digest = identity.get("container_image"), identity.get("image_digest")
    if not isinstance(name, str):
        return None
    reference = f"{name.partition('@')[0]}@{digest}" if isinstance(digest, str) else name
    try:
        return parse_image(reference)
    except AdapterError:
        return None


def _exact_image(cell: ReportCell, image: Image) -> PasteBlock:
    tui, model, task = quote(cell.agent), quote(cell.model), quote(cell.task_id)
    reference = quote(image.reference)
    if cell.is_published:  # the published images bring the command along
        run = (
            f"docker pull {reference}\n"
            f"docker run --rm -e CAB_ENDPOINT -e CAB_KEY \\\n  {reference} \\\n"
            f"  run-cell --tui {tui} --model {model} \\\n  --task {task}"
        )
    else:
        run = (
            f"docker pull {reference}\n"
            f"cab run-cell --tui {tui} --model {model} \\\n  --task {task} \\\n"
            f"  --sandbox docker --image {reference}"
        )
    exports = "export CAB_ENDPOINT CAB_KEY"
    return PasteBlock("image", "The exact image", _block(_NEEDS, exports, run))


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
