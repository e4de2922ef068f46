"""The table [container] of a sweep file."""

import pytest
from pydantic import ValidationError

from cab.adapters.sweeps.containers import ContainerTable
from cab.adapters.sweeps.drift import compare_sweeps
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.scoring.cells.cell import RequestedResources

NOTHING = RequestedResources()


def test_a_job_has_all_of_it() -> None:
    """The container of a cell travels as JSON, and comes out as the runner takes it."""
    table = ContainerTable(
        engine="podman",
        images={"aider": "a/b:1"},
        checks_image="c/d:2",
        deviations=["root"],
        limits={"memory": "1g"},
    )
    job = CellJob(
        cell_id="s/aider/demo/a/b#run1",
        tui="aider",
        model="demo",
        task="a/b",
        sweep="s",
        number=1,
        timeout_s=1.0,
        proxy="http://127.0.0.1:1",
        key="k",
        seal_key="s",
        bundles="runs",
        container=table.job("aider", RequestedResources(cpus=2, memory_bytes=5)),
    )

    spec = CellJob.model_validate_json(job.model_dump_json()).spec()

    assert (spec.sandbox, spec.container.image, spec.container.engine) == (
        "docker",
        "a/b:1",
        "podman",
    )
    assert (spec.container.checks_image, spec.container.deviations) == ("c/d:2", ("root",))
    # What it asks of a cluster is its limit, unless the table says otherwise.
    assert (spec.limits.cpus, spec.limits.memory) == (2.0, 1 << 30)
    assert table.job("pi", NOTHING).image is None
    assert job.model_copy(update={"container": None}).spec().sandbox == "local"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"limits": {"memry": "1g"}}, "'memry' is not a limit of containers; known: cpu-s"),
        ({"limits": {"memory": "much"}}, "memory=much is not an amount"),
        ({"images": {"aider": "A B"}}, "'A B' is not the name of an image"),
        ({"deviations": ["rot"]}, "did you mean 'root'"),
        ({"engine": "dokcer"}, "Input should be"),
        ({"image": "a"}, "Extra inputs"),
    ],
)
def test_mistakes_are_named(table: dict[str, object], said: str) -> None:
    """What cannot be used is refused when the file is read."""
    with pytest.raises(ValidationError) as caught:
        ContainerTable.model_validate(table)

    assert said in str(caught.value)


def test_a_sweep_from_before_the_table() -> None:
    """A journal from before there were these keys agrees with a file that does not use them."""
    least = {"name": "s", "models": ["m"], "agents": ["a"], "tasks": ["t"]}
    now = SweepFile.model_validate(least).model_dump(mode="json")
    before = {key: value for key, value in now.items() if key not in ("sandbox", "container")}

    assert compare_sweeps(before, now, {}, {}) == ([], [])
    boxed = SweepFile.model_validate({**least, "sandbox": "docker"}).model_dump(mode="json")
    assert compare_sweeps(before, boxed, {}, {}).breaking == ["sandbox: none -> docker"]
