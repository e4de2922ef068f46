"""The matrix: all slots, and all that is wrong, before anything starts."""

import shutil
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError
from cab.adapters.sweeps.matrix import choose, make_matrix, not_installed
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.adapters.tasks.loader import load_task

PYTHON = "polyglot/python-error-handling"
PLUGIN = 'schema = "cab.plugin/1"\nname = "rules"\n'


def sweep_of(**keys: object) -> SweepFile:
    """Return a sweep that differs from a small one in some keys."""
    least = {"name": "s", "models": ["m"], "agents": ["scripted"], "tasks": [PYTHON]}
    return SweepFile.model_validate({**least, **keys})


def copied(folder: Path, name: str, **replaced: str) -> Path:
    """Return a copy of a task under another id."""
    task = load_task(PYTHON)
    shutil.copytree(task.root, folder / name)
    file = folder / name / "task.toml"
    text = file.read_text().replace(task.id, f"own/{name}")
    for old, new in replaced.items():
        text = text.replace(old, new)
    file.write_text(text)
    return folder / name


def test_slots(tmp_path: Path) -> None:
    """Each agent, model, task and run has a slot; first runs come before second ones."""
    copied(tmp_path, "mine")
    agents = ["scripted", "tests.adapters.sweeps.agents:Whole"]
    sweep = sweep_of(agents=agents, models=["m", "a/b"], tasks=[PYTHON, "./mine"], runs=2)

    matrix = make_matrix(sweep, tmp_path)

    ids = [slot.id for slot in matrix.slots]
    assert matrix.problems == ()
    assert len(set(ids)) == len(ids) == 2 * 2 * 2 * 2
    assert ids[0] == f"s/scripted/m/{PYTHON}#run1"
    assert all(name.endswith("#run1") for name in ids[:8])
    assert "s/whole/a/b/own/mine#run2" in ids
    assert {slot.task for slot in matrix.slots} == {PYTHON, str(tmp_path / "mine")}
    assert {slot.tui for slot in matrix.slots} == set(agents)


def test_a_model_named_by_a_path(tmp_path: Path) -> None:
    """Its name goes to the agent as it is; in the cell's id it is encoded."""
    matrix = make_matrix(sweep_of(models=["/models/llama 3/"]), tmp_path)

    assert matrix.problems == ()
    assert matrix.slots[0].id == f"s/scripted/%2Fmodels/llama 3%2F/{PYTHON}#run1"
    assert matrix.slots[0].cell.model == "/models/llama 3/"


def test_globs(tmp_path: Path) -> None:
    """Tasks are found by globs over their ids; one that two patterns match is there once."""
    matrix = make_matrix(sweep_of(tasks=["*/python-error-handling", "polyglot/python-*"]), tmp_path)

    assert [slot.task for slot in matrix.slots].count(PYTHON) == 1


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Whatever is unknown, unusable or there twice is listed, line by line."""
    copied(tmp_path, "mine")
    shutil.copytree(tmp_path / "mine", tmp_path / "same")
    sweep = sweep_of(
        agents=[
            *("scriptd", "scripted"),
            *("tests.adapters.sweeps.agents:Newer", "tests.adapters.sweeps.agents:Slashed"),
        ],
        tasks=["polyglot/pythn-error-handling", "nothing/*", "xyzzy", "./none", "./mine", "./same"],
        plugins=["none", "sub/rules.toml"],
    )

    said = make_matrix(sweep, tmp_path).problems

    for part in (
        "agents: no agent 'scriptd'; did you mean 'scripted'?",
        "'tests.adapters.sweeps.agents:Newer' and 'scripted' are the same agent",
        "did you mean 'polyglot/python-error-handling'?",
        "'nothing/*' matches no bundled task",
        "no task 'xyzzy'; give ./folder for one of your own",
        "none/task.toml: does not exist",
        "are both 'own/mine'",
        "the tui holds a slash",
        "plugins/none.toml: No such file",
        "sub/rules.toml: No such file",
    ):
        assert [line for line in said if part in line], (part, said)


def test_plugins(tmp_path: Path) -> None:
    """Plugins are found beside the sweep's file: by path, or by name in their folder."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "rules.toml").write_text(PLUGIN)
    (tmp_path / "other.toml").write_text(PLUGIN.replace("rules", "other"))

    matrix = make_matrix(sweep_of(plugins=["rules", "other.toml"]), tmp_path)

    assert matrix.problems == ()
    assert matrix.plugins == (
        str(tmp_path / "plugins" / "rules.toml"),
        str(tmp_path / "other.toml"),
    )


def test_fingerprints(tmp_path: Path) -> None:
    """Agents have versions, tasks and plugins a digest that any change of their files changes."""
    folder = copied(tmp_path, "mine")
    (tmp_path / "rules.toml").write_text(PLUGIN + 'home = { a = { file = "text" } }\n')
    (tmp_path / "text").write_text("one")
    sweep = sweep_of(tasks=["./mine"], plugins=["rules.toml"])

    before = make_matrix(sweep, tmp_path).fingerprints
    again = make_matrix(sweep, tmp_path).fingerprints
    (folder / "workspace" / "new.txt").write_text("")
    (tmp_path / "text").write_text("two")
    after = make_matrix(sweep, tmp_path).fingerprints

    assert list(before) == ["agent scripted", "task own/mine", "plugin rules"]
    assert again == before
    assert [name for name in before if after[name] != before[name]] == list(before)[1:]


def test_missing_program(tmp_path: Path) -> None:
    """A task that needs a program that is not here is left out with its reason, not run and failed."""
    need = '[[needs]]\ncommand = "no-such-program"\nget = "install it"\n\n[check]'
    copied(tmp_path, "needy", **{"[check]": need})

    matrix = make_matrix(sweep_of(tasks=[PYTHON, "./needy"]), tmp_path)

    assert [slot.id for slot in matrix.slots] == [f"s/scripted/m/{PYTHON}#run1"]
    [(slot, why)] = matrix.left_out.items()
    assert slot == "s/scripted/m/own/needy#run1"
    assert "needs no-such-program" in why


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is not installed is named with the command that installs it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    matrix = make_matrix(sweep_of(agents=["scripted", "aider"]), tmp_path)

    assert [facts.name for facts in matrix.missing] == ["aider"]
    [line] = not_installed(matrix.missing)
    assert "cab adapters install aider, or give --install" in line


def test_choose() -> None:
    """Globs choose cells by their ids; one that matches nothing is a typing error."""
    ids = ["s/a/m/f/x#run1", "s/a/m/f/x#run2", "s/b/m/f/x#run1"]

    assert choose(ids, [], []) == set(ids)
    assert choose(ids, ["*/a/*"], ["*#run2"]) == {"s/a/m/f/x#run1"}
    assert choose(ids, ["*/a/*", "*/b/*"], []) == set(ids)
    with pytest.raises(AdapterError, match=r"--only '\*/c/\*' matches no cell"):
        choose(ids, ["*/c/*"], [])
    with pytest.raises(AdapterError, match=r"--exclude 'x' matches no cell"):
        choose(ids, [], ["x"])
