"""Builds an image with podman or docker: makes the context, names every argument, reads the result."""

import datetime
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from cab.adapters.agents.base import NpmInstall
from cab.adapters.errors import AdapterError, ImageNotBuilt
from cab.adapters.install.images.build_request import CHECKS, BuildRequest
from cab.adapters.install.images.built import BuiltImage, find_image
from cab.adapters.install.images.own_wheel import cab_version, own_versions, write_own_wheel
from cab.adapters.install.install import agents_folder
from cab.adapters.processes.agent_process import new_mark
from cab.adapters.processes.cleanup import CleanupPlan, watched_cleanup
from cab.adapters.processes.scratch import scratch_folder
from cab.adapters.sandboxes.engine import PULL_LIMIT_S, ContainerEngine, EngineOutput
from cab.adapters.sandboxes.images import parse_image

BUILD_LIMIT_S = 3600.0
"""Longest time that one build may take."""

_TEMPLATE = Path(__file__).with_name("template")
_EARLIEST = 315_532_800  # 1980-01-01: archives, such as wheels, cannot state an earlier time
_EPOCH = "SOURCE_DATE_EPOCH"
# What engines write before a line of a step's output, and their own last lines, which say only that a step failed.
_PREFIX = re.compile(r"#\d+ (?:[\d.]+ )?")
_ABOUT_ENGINE = re.compile(
    r"(?i)(?:error: )?(?:error )?building |exit status |------|> |ERROR: failed to"
)


async def build_image(engine: ContainerEngine, wanted: BuildRequest) -> BuiltImage:
    """Build an image, and return it as the engine has it.

    Args:
        engine: What builds it.
        wanted: What is built.

    Raises:
        AdapterError: The base is not there and cannot be pulled.
        ImageNotBuilt: A step failed; the reason is from its output, and `.log` has all of it.
    """
    base = await _base(engine, wanted.base)
    mark = new_mark()
    with (
        scratch_folder("image") as scratch,
        # A step of a build that is killed ends itself when this folder has gone.
        watched_cleanup(CleanupPlan(mark=mark, scratch=scratch)),
    ):
        context = scratch / "context"
        digests = _write_context(context, wanted)
        wheels = wanted.wheels or scratch / "no-wheels"
        wheels.mkdir(exist_ok=True)
        words = build_command(engine, wanted, base, context, wheels, digests)
        done = await replace(engine, mark=mark).ask(*words, limit_s=BUILD_LIMIT_S)
    if done.code:
        raise ImageNotBuilt(wanted.name, _reason(done), _write_log(wanted.name, done))
    return await find_image(engine, wanted.name)


def build_command(  # noqa: PLR0913 - all that one build is made from
    engine: ContainerEngine,
    wanted: BuildRequest,
    base: BuiltImage,
    context: Path,
    wheels: Path,
    digests: Mapping[str, str],
) -> list[str]:
    """Return the words after the engine's program.

    Args:
        engine: What builds.
        wanted: What is built.
        base: The image that it is built on.
        context: Folder of the context.
        wheels: Folder of Python packages.
        digests: Build arguments that change when a part of the context does.
    """
    time = epoch_of(base)
    npm = wanted.agent is not None and isinstance(wanted.agent.need, NpmInstall)
    arguments = {
        "BASE": base.reference,
        "NAME": wanted.name,
        "PACKAGES": " ".join(wanted.packages),
        "PROGRAM": wanted.program,
        "INSTALLERS": "npm" if npm else "",
        _EPOCH: str(time),
        **digests,
    }
    words = ["build", "--file", str(context / "Containerfile"), "--tag", wanted.name]
    if engine.kind == "podman":
        # The base is on this machine already: no registry is asked.
        words += ["--pull=never", "--timestamp", str(time), "--format", "oci"]
    else:
        words += ["--progress", "plain", "--output", "type=docker,rewrite-timestamp=true"]
    words += ["--build-context", f"wheels={wheels}"]
    words += [f"--network={wanted.network}"] if wanted.network else []
    words += [] if wanted.cache else ["--no-cache"]
    for name, value in arguments.items():
        words += ["--build-arg", f"{name}={value}"]
    for name, path in wanted.settings.items():
        words += ["--secret", f"id={name},src={path}"]
    for name, value in labels(wanted, base).items():
        words += ["--label", f"{name}={value}"]
    return [*words, str(context)]


def epoch_of(base: BuiltImage) -> int:
    """Return the time that a build states for all that it makes, in seconds since 1970.

    SOURCE_DATE_EPOCH, or else the time of the base: two builds on one base are the same.

    Raises:
        AdapterError: SOURCE_DATE_EPOCH is not a whole number.
    """
    given = os.environ.get(_EPOCH)
    if given is None:
        return max(_EARLIEST, int(base.created.timestamp()))
    if not re.fullmatch(r"[0-9]{1,12}", given):
        raise AdapterError(f"{_EPOCH}={given} is not a number of seconds since 1970; correct it")
    return max(_EARLIEST, int(given))


def labels(wanted: BuildRequest, base: BuiltImage) -> dict[str, str]:
    """Return the labels of an image; those of its agent only where it has one."""
    created = datetime.datetime.fromtimestamp(epoch_of(base), datetime.UTC)
    found = {
        "org.opencontainers.image.title": wanted.title,
        "org.opencontainers.image.version": wanted.version,
        "org.opencontainers.image.created": created.isoformat().replace("+00:00", "Z"),
        "org.opencontainers.image.base.name": wanted.base,
        "org.opencontainers.image.base.digest": base.digest or base.id,
        "cab.version": cab_version(),
        "cab.image": wanted.tui or CHECKS,
    }
    if wanted.tui is not None:
        found |= {"cab.agent": wanted.tui, "cab.agent.version": wanted.version}
    source = wanted.agent.purl if wanted.agent else None
    return found if source is None else {**found, "cab.agent.source": source}


async def _base(engine: ContainerEngine, name: str) -> BuiltImage:
    try:
        return await find_image(engine, name)
    except AdapterError:
        pulled = await engine.ask("pull", parse_image(name).reference, limit_s=PULL_LIMIT_S)
    if pulled.code:
        raise AdapterError(
            f"base image {name} is not on this machine and cannot be pulled ({pulled.summary}); "
            "give another with --base"
        )
    return await find_image(engine, name)


def _write_context(context: Path, wanted: BuildRequest) -> dict[str, str]:
    """Write the context of a build; return build arguments that change when a part of it does.

    Engines know a step by its words: these are in the words of the steps that use the part.
    """
    shutil.copytree(_TEMPLATE, context)
    wheel = write_own_wheel(context)
    versions = context / "versions.txt"
    versions.write_text("".join(f"{line}\n" for line in own_versions()))
    agent = context / "agent.json"
    agent.write_text(wanted.agent.model_dump_json() if wanted.agent else "")
    parts = [agent]
    if wanted.binary is not None:
        shutil.copyfile(wanted.binary, context / "program")
        parts.append(context / "program")
    return {
        "STEPS": _digest([context / "steps.sh"]),
        "CAB": _digest([wheel, versions]),
        "AGENT": _digest([*parts, *_installers()]),
    }


def _installers() -> Iterator[Path]:
    """Yield the modules that install agents: another way to install makes another layer."""
    yield from sorted(Path(__file__).parents[1].glob("*.py"))
    yield Path(__file__).with_name("inside_build.py")


def _digest(files: list[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _reason(done: EngineOutput) -> str:
    """Return the last line of a failed build that is about what failed."""
    lines = [_PREFIX.sub("", line.strip(), count=1) for line in done.stderr.splitlines()]
    about = [line for line in lines if line and not _ABOUT_ENGINE.match(line)]
    return about[-1].removeprefix("cab: ") if about else done.summary


def _write_log(name: str, done: EngineOutput) -> Path:
    folder = agents_folder().with_name("images")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name.rpartition('/')[2].replace(':', '-')}.log"
    log.write_text(f"{done.stdout}\n{done.stderr}")
    return log
