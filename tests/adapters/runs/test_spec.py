"""What a cell comes to once every name is looked up."""

from dataclasses import replace
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError, AgentNotInstalled, BundleExists, UnknownAdapter
from cab.adapters.runs.spec import CellSpec, check_image_of, checks_image, plan_cell
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.images import parse_image
from cab.adapters.tasks.loader import UnknownTask, load_task
from cab.proxy.auth.cell_keys import CellKeys
from cab.scoring.errors import BadCellId

TASK = "polyglot/python-error-handling"
BOXED = "tests.adapters.sandboxes.boxed:Boxed"


@pytest.fixture
def spec(tmp_path: Path) -> CellSpec:
    return CellSpec(tui="scripted", model="a/b", task=TASK, upstream="demo", runs=tmp_path)


def test_plan(spec: CellSpec, tmp_path: Path) -> None:
    """A plan has the cell's id, its folder, and a ledger inside it; nothing is written."""
    plan = plan_cell(replace(spec, run=2))

    assert str(plan.cell) == f"local/scripted/a/b/{TASK}#run2"
    assert plan.bundle == tmp_path / str(plan.cell)
    assert plan.ledger == plan.bundle / "ledger"
    assert plan.name == "scripted"
    assert list(tmp_path.iterdir()) == []


def test_given_ledger(spec: CellSpec, tmp_path: Path) -> None:
    """A ledger that is named is used instead."""
    assert plan_cell(replace(spec, ledger=tmp_path / "one")).ledger == tmp_path / "one"


def test_dotted_adapter(spec: CellSpec) -> None:
    """The cell is named for the agent, not for the path of its adapter."""
    assert plan_cell(replace(spec, tui="tests.adapters.toyagents:Nosy")).cell.tui == "nosy"


def test_dialect(spec: CellSpec) -> None:
    """A dialect that the agent does not speak is refused with those that it does."""
    assert plan_cell(spec).dialect is None
    assert plan_cell(replace(spec, dialect="chat.completions")).dialect == "chat.completions"
    message = "scripted does not speak 'messages'; it speaks chat.completions"
    with pytest.raises(AdapterError, match=message):
        plan_cell(replace(spec, dialect="messages"))


def test_in_an_image(spec: CellSpec) -> None:
    """A container needs no install here; without a tag its image is that of the agent's version."""
    container = Container(image="codingagentbench/boxed")

    plan = plan_cell(replace(spec, tui=BOXED, sandbox="docker", container=container))

    assert [image.name for image in plan.images] == ["codingagentbench/boxed:1.2.3"]
    assert plan.check_image == checks_image()
    assert plan.installed == (Path("python3"), "1.2.3")


def test_images_of_an_agent(spec: CellSpec) -> None:
    """Without a name what was built here comes first, then what is published; ours needs Python only."""
    aider, ours = (
        plan_cell(replace(spec, tui=tui, sandbox="docker")) for tui in ("aider", "scripted")
    )

    version = aider.adapter.facts.version
    names = [f"localhost/cab-agent-aider:{version}", f"codingagentbench/aider:{version}"]
    assert [image.name for image in aider.images] == names
    assert (ours.installed.executable, ours.images) == (Path("python3"), (checks_image(),))


def test_the_image_of_checks(spec: CellSpec) -> None:
    """The task's own image wins over what was given; on request, or if nothing is run, there is none."""
    task = load_task(spec.task)
    named = task.model_copy(update={"check": task.check.model_copy(update={"image": "a/b:1"})})
    given = Container(checks_image="c/d:2")

    assert check_image_of(named, given) == parse_image("a/b:1")
    assert check_image_of(task, given) == parse_image("c/d:2")
    assert check_image_of(named, Container(deviations=("host-checks",))) is None
    assert check_image_of(load_task("integrity/ambiguous-ticket"), given) is None


def test_with_plugins(spec: CellSpec, tmp_path: Path) -> None:
    """Plugins are looked up before anything runs."""
    path = tmp_path / "p.toml"
    path.write_text('schema = "cab.plugin/1"\nname = "mine"\n')

    assert plan_cell(replace(spec, plugins=(str(path),))).plugins.names == ["mine"]
    assert plan_cell(spec).plugins.names == []


def test_key_outlives_run(spec: CellSpec) -> None:
    """The cell's key is good for longer than the run."""
    assert spec.key_ttl_s > spec.timeout_s


def test_secrets_are_not_shown(spec: CellSpec) -> None:
    """No key shows where a spec is printed."""
    text = repr(
        replace(
            spec,
            upstream_key="sk-canary",
            signing_key="canary-2",
            cell_keys=CellKeys("canary-3", "canary-4"),
        )
    )

    assert "canary" not in text


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"tui": "adier"}, UnknownAdapter, "did you mean 'aider'?"),
        ({"task": "polyglot/python-eror-handling"}, UnknownTask, "did you mean"),
        ({"upstream": None}, AdapterError, "set CAB_ENDPOINT"),
        ({"proxy": "http://x"}, AdapterError, "--upstream cannot be used with --proxy"),
        ({"cell_keys": CellKeys("k", "s")}, AdapterError, "give its URL too"),
        (
            {"proxy": "http://x", "upstream": None, "ledger": Path("l")},
            AdapterError,
            "--ledger cannot be used with --proxy",
        ),
        ({"timeout_s": 0}, AdapterError, "--timeout-s 0 is not above 0"),
        (
            {"timeout_s": float("inf")},
            AdapterError,
            "--timeout-s inf is not above 0, or is not finite",
        ),
        ({"timeout_s": float("nan")}, AdapterError, "--timeout-s nan is not above 0"),
        ({"sweep": ".."}, BadCellId, "would leave the folder"),
        ({"model": ""}, BadCellId, "empty"),
        ({"sweep": "a/b"}, BadCellId, "slash"),
        ({"run": 0}, BadCellId, "counted from 1"),
        ({"ledger": Path("/proc/version")}, AdapterError, "cannot be used"),
        ({"sandbox": "jail"}, AdapterError, "no sandbox 'jail'; known: local, docker"),
        (
            {"sandbox": "docker", "tui": BOXED, "container": Container(image="A B")},
            AdapterError,
            "'A B' is not the name of an image",
        ),
        ({"sandbox": "docker", "terminal": True}, AdapterError, "--terminal is for the local"),
        (
            {"sandbox": "docker", "upstream": None, "proxy": "https://x"},
            AdapterError,
            "give it with --network",
        ),
        ({"container": Container(image="a")}, AdapterError, "add --sandbox docker"),
        (
            {"sandbox": "docker", "container": Container(deviations=("rot",))},
            AdapterError,
            "did you mean 'root'",
        ),
        ({"plugins": ("none",)}, AdapterError, "no plugin 'none'"),
    ],
)
def test_refused(
    spec: CellSpec, change: dict[str, object], error: type[Exception], said: str
) -> None:
    """What cannot be run is refused in one line that names it and the fix."""
    with pytest.raises(error) as caught:
        plan_cell(replace(spec, **change))  # type: ignore[arg-type]

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_installed(spec: CellSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is not installed is refused with the command that installs it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    with pytest.raises(AgentNotInstalled, match="run: cab adapters install aider") as caught:
        plan_cell(replace(spec, tui="aider"))
    assert caught.value.command == "cab adapters install aider"


def test_missing_program(spec: CellSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose compiler is missing is refused before anything runs."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AdapterError, match="needs cargo, which is not on PATH"):
        plan_cell(replace(spec, task="polyglot/rust-error-handling"))


def test_there_already(spec: CellSpec) -> None:
    """A cell that is there already is refused, unless it is to be replaced."""
    bundle = plan_cell(spec).bundle
    bundle.mkdir(parents=True)
    (bundle / "cell.json").write_text("{}")

    with pytest.raises(BundleExists):
        plan_cell(spec)
    assert plan_cell(replace(spec, force=True)).bundle == bundle
