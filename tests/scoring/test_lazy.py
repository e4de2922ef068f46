import pytest

import cab.scoring
from tests.scoring.test_public_api import exported
from tests.tools.programs import run_python


def test_one_cell_does_not_wait_for_the_statistics() -> None:
    """What is about sets of cells is loaded when it is first used, and is then the same object."""
    code = (
        "import sys, cab.scoring; before = 'cab.scoring.stats' in sys.modules;"
        "from cab.scoring import aggregate;"
        "from cab.scoring.analysis.aggregate import aggregate as same; print(before, aggregate is same)"
    )
    assert run_python("-c", code).strip() == "False True"


def test_a_module_of_the_room_is_not_a_reason_to_load_the_statistics() -> None:
    """`from cab.scoring import MODULE` asks for an attribute first; that loads nothing else."""
    code = (
        "import sys; from cab.scoring import timestamps; print('cab.scoring.stats' in sys.modules)"
    )
    assert run_python("-c", code).strip() == "False"


def test_an_unknown_name_is_not_an_attribute() -> None:
    """A name that the room does not export is an AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
        _ = cab.scoring.nonesuch  # type: ignore[attr-defined]


def test_all_names_show_in_a_prompt() -> None:
    """`dir` lists every exported name, also those that are not loaded yet."""
    assert set(exported()) <= set(dir(cab.scoring))
