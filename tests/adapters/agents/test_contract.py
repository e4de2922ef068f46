"""What holds for every adapter: its facts, its launch, and how it reads the agent's own count."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.base import NpmInstall, Output, PyPIInstall, RunContext
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.errors import BadSelfReport
from cab.scoring.ledger.records import Endpoint
from tests.adapters.agents.recorded import (
    KEY,
    MODEL,
    RECORDED,
    URL,
    files_with_key,
    recorded,
    recordings_with,
    report_of,
    run_of,
)
from tests.tools.cases import cases

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text(encoding="utf-8")
AGENTS = cases("agent", sorted(ADAPTERS))
LAUNCHES = cases(
    "agent, dialect",
    [
        (name, dialect)
        for name in sorted(ADAPTERS)
        for dialect in (None, *load_adapter(name).facts.dialects)
    ],
)
REAL = cases("agent", RECORDED)

KEY_FILES = {
    "cline": ".cline/data/settings/providers.json",
    "continue": ".continue/config.yaml",
    "droid": ".factory/settings.json",
    "openhands": ".openhands/agent_settings.json",
}
"""Agents that read the key from a file only; all others get it by environment."""
PROMPT_BY_STDIN = "open-interpreter"
POSITIONAL = frozenset({"aider", "scripted"})
"""Agents whose command line has nothing that protects a prompt that looks like an option."""
OWN_FORMAT = frozenset({"aider", "scripted"})
"""Agents that report tokens in a line of text."""
BROKEN = r"broken JSON|cannot be read"


@AGENTS
def test_facts(agent: str) -> None:
    """An adapter names its agent, a version, its dialects and how to install it."""
    facts = load_adapter(agent).facts

    assert (facts.name, bool(facts.version)) == (agent, True)
    assert facts.dialects
    assert len(set(facts.dialects)) == len(facts.dialects)
    assert isinstance(facts.install, PyPIInstall | NpmInstall) == (agent != "scripted")
    assert all(note.endswith(".") for note in facts.notes)
    assert facts.image is None or facts.image == f"codingagentbench/{agent}"
    assert all(not PurePosixPath(pattern).is_absolute() for pattern in facts.scratch)


@AGENTS
def test_documented(agent: str) -> None:
    """Both tables of the page about agents have a row for it."""
    for table in ("metered", "behaviour"):
        rows = PAGE.partition(f"<!-- {table} -->")[2].partition(f"<!-- /{table} -->")[0]
        assert f"\n| {agent} |" in rows


@LAUNCHES
def test_key(agent: str, dialect: Endpoint | None) -> None:
    """The key is in the environment, or in the one file that the agent reads it from; never in argv."""
    launch = load_adapter(agent).launch(run_of(dialect=dialect))

    by_environment = [name for name, value in launch.env.items() if KEY in value]
    expected = [KEY_FILES[agent]] if agent in KEY_FILES else []
    assert files_with_key(launch) == expected
    assert len(by_environment) == 1 - len(expected)
    assert all(launch.env[name] == KEY for name in by_environment)
    assert KEY not in " ".join([*launch.argv, *launch.files])
    assert KEY not in repr(launch)
    assert KEY not in repr(run_of())


@LAUNCHES
def test_run_is_handed_over(agent: str, dialect: Endpoint | None) -> None:
    """Endpoint, model and prompt reach the agent, and no other endpoint does."""
    launch = load_adapter(agent).launch(run_of(dialect=dialect))
    texts = [*launch.argv, *launch.env.values(), *launch.files.values()]

    for part in (URL, MODEL):
        assert any(part in text for text in texts)
    assert any("Fix it" in word for word in launch.argv)
    assert launch.argv[0] == "/agents/agent" or agent == PROMPT_BY_STDIN
    loopback = {url for text in texts for url in re.findall(r"http://127\.[^\"'\s/]+", text)}
    assert loopback == {URL}


@AGENTS
def test_dialects_differ(agent: str) -> None:
    """Each dialect has a launch of its own; without one it is the first."""
    adapter = load_adapter(agent)
    launches = [adapter.launch(run_of(dialect=each)) for each in adapter.facts.dialects]

    assert adapter.launch(run_of()) == launches[0]
    assert len({str(asdict(each)) for each in launches}) == len(launches)


@LAUNCHES
def test_files_are_below_home(agent: str, dialect: Endpoint | None) -> None:
    """Files are written below the run's HOME, which no variable replaces."""
    launch = load_adapter(agent).launch(run_of(dialect=dialect))

    for name in launch.files:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
    assert not {"HOME", "PATH", "TMPDIR"} & set(launch.env)
    assert ".gitconfig" not in launch.files


@pytest.mark.parametrize("prompt", ["-p", "--help"])
@cases("agent", sorted(set(ADAPTERS) - POSITIONAL - {PROMPT_BY_STDIN}))
def test_prompt_is_not_an_option(agent: str, prompt: str) -> None:
    """A prompt that looks like an option is after `--`, joined to its option, or starts with a space."""
    argv = load_adapter(agent).launch(run_of(prompt)).argv

    if "--" in argv:
        assert argv[argv.index("--") + 1 :] == (prompt,)
    else:
        assert argv[-1].endswith((f"={prompt}", f" {prompt}"))
        assert prompt not in argv


@LAUNCHES
def test_launch_depends_on_the_run_alone(agent: str, dialect: Endpoint | None) -> None:
    """The same run gives the same launch, and another key changes nothing but the key."""
    adapter, run = load_adapter(agent), run_of(dialect=dialect)
    other = adapter.launch(replace(run, key="another-cell-key"))

    assert adapter.launch(run) == adapter.launch(run)
    assert str(asdict(other)).replace("another-cell-key", KEY) == str(asdict(adapter.launch(run)))


@AGENTS
def test_no_report(agent: str, tmp_path: Path) -> None:
    """An agent that printed nothing and left no session has no count: None, not 0."""
    assert load_adapter(agent).self_report(Output("", "", tmp_path)) is None
    assert load_adapter(agent).self_report(Output("done\nthe tokens: 5\n", "", tmp_path)) is None


@AGENTS
def test_reporting_agents_are_recorded(agent: str) -> None:
    """Every agent that reports tokens as JSON was recorded; other formats have tests of their own."""
    reports = load_adapter(agent).facts.token_report is not None
    assert reports == (agent in RECORDED or agent in OWN_FORMAT)


@REAL
def test_recorded_run(agent: str, tmp_path: Path) -> None:
    """The figures are those that the meter had of the same run, whatever the agent's own convention."""
    expected = RECORDED[agent].run
    report = report_of(agent, tmp_path, recorded(agent, "run"))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == expected[:2]
    assert report.total_tokens == expected.prompt + expected.completion
    assert (report.source, report.exact) == (RECORDED[agent].source, expected.exact)
    promised = load_adapter(agent).facts.token_report or ""
    assert (", exact" in promised) == expected.exact


@cases("agent", recordings_with("cut"))
def test_recorded_cut(agent: str, tmp_path: Path) -> None:
    """After an answer that broke off the rest is reported, and not called exact if that is known."""
    expected = RECORDED[agent].cut
    report = report_of(agent, tmp_path, recorded(agent, "cut"))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens, report.exact) == expected


@cases("agent", recordings_with("no_usage"))
def test_recorded_without_usage(agent: str, tmp_path: Path) -> None:
    """Answers for which the endpoint gave no count are an error, not 0 tokens."""
    with pytest.raises(BadSelfReport, match=RECORDED[agent].no_usage):
        report_of(agent, tmp_path, recorded(agent, "no-usage"))


@cases("agent", recordings_with("refused"))
def test_recorded_refusal(agent: str, tmp_path: Path) -> None:
    """A run whose calls were refused has no count."""
    if error := RECORDED[agent].refused:
        with pytest.raises(BadSelfReport, match=error):
            report_of(agent, tmp_path, recorded(agent, "refused"))
    else:
        assert report_of(agent, tmp_path, recorded(agent, "refused")) is None


@REAL
def test_cut_output(agent: str, tmp_path: Path) -> None:
    """Output or a session whose end is missing is an error."""
    with pytest.raises(BadSelfReport, match=BROKEN):
        report_of(agent, tmp_path, recorded(agent, "run").rstrip()[:-9])


@cases("agent, member", [(name, each) for name in RECORDED for each in RECORDED[name].counts])
@pytest.mark.parametrize("value", ["null", '"1"', "-1", "1.5", "true"])
def test_strict_counts(agent: str, member: str, value: str, tmp_path: Path) -> None:
    """A member that must be a count and is not one is an error, and names itself."""
    run = recorded(agent, "run")
    text, changed = re.subn(rf'(?<="{member}":)( ?)\d+', rf"\g<1>{value}", run)
    assert changed

    with pytest.raises(BadSelfReport, match=f"{agent}'s token report has {member}"):
        report_of(agent, tmp_path, text)


@cases("agent", recordings_with("session"))
def test_unreadable_session(agent: str, tmp_path: Path) -> None:
    """A folder in the place of a session file is an error, and no failure of the run."""
    (tmp_path / (RECORDED[agent].session or "")).mkdir(parents=True)

    with pytest.raises(BadSelfReport, match=f"{agent}'s .* cannot be read"):
        report_of(agent, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda data: json.dumps(data).encode())


@settings(deadline=None, max_examples=20)
@given(content=st.binary() | st.text().map(str.encode) | JSON)
@pytest.mark.parametrize("agent", sorted(ADAPTERS))
def test_any_output(tmp_path_factory: pytest.TempPathFactory, agent: str, content: bytes) -> None:
    """Any output and any session gives a report above 0, None, or the one error."""
    home = tmp_path_factory.mktemp("home")
    try:
        if agent in RECORDED:
            report = report_of(agent, home, content)
        else:
            text = content.decode(errors="replace")
            report = load_adapter(agent).self_report(Output(text, "", home))
    except BadSelfReport:
        return

    assert report is None or (report.total_tokens or 0) > 0 or agent in OWN_FORMAT


def test_url_of_a_client_library() -> None:
    """Anthropic's library adds the version to the URL itself; the others do not."""
    run: RunContext = run_of()

    assert (run.v1_url, run.sdk_url("responses")) == (f"{URL}/v1", f"{URL}/v1")
    assert run.sdk_url("messages") == URL
