import re
from pathlib import Path

import pytest

from cab.scoring import PROFILES, BadRecord, read_profile
from cab.scoring.profiles.files import MAX_BYTES

ROOT = Path(__file__).parents[3]
MINE = """
schema = "cab.profile/1"
name = "mine/1"
note = "The pass alone."
terms = [{ name = "pass", weight = 1, component = "pass_rate" }]
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_profile_is_read_from_its_file(tmp_path: Path) -> None:
    """A file holds a profile under the keys of the model; a whole number is a number."""
    profile = read_profile(write(tmp_path, MINE))
    assert (profile.name, profile.terms[0].weight) == ("mine/1", 1)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        (MINE.replace('"cab.profile/1"', '"cab.profile/9"'), "schema", "cab.profile/1"),
        (MINE.replace("schema", "scheme"), "schema", "is missing"),
        (MINE.replace("mine/1", "mine"), "name", "pattern"),
        (MINE.replace("mine/1", "measured/1"), "name", "comes with CAB"),
        (MINE.replace("weight = 1", "weight = 2"), "terms.0.weight", "less than or equal to 1"),
        (MINE.replace("weight = 1", "weight = nan"), "terms.0.weight", "finite"),
        (MINE.replace("weight = 1", "weight = 0.5"), "terms", "add up to 0.5, not to 1"),
        (MINE.replace("pass_rate", "cost_efficiency"), "terms.0", "is in tokens"),
        (MINE + "min_coverge = 1\n", "min_coverge", "Extra"),
        (MINE + "[factors]\nno_op = 2\n", "factors.no_op", "less than or equal to 1"),
        ("name = ", None, "not valid TOML"),
        (b"name = '\xff'", None, "not valid TOML"),
        (b"#" * (MAX_BYTES + 1), None, "is over"),
    ],
)
def test_a_wrong_profile_names_file_and_key(
    tmp_path: Path, text: str | bytes, field: str | None, reason: str
) -> None:
    """Whatever is wrong with a profile is said with its file, its key and the reason."""
    path = write(tmp_path, text)
    with pytest.raises(BadRecord, match=re.escape(reason)) as caught:
        read_profile(path)
    assert (caught.value.path, caught.value.field) == (str(path), field)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file, and a folder, are errors that name them."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadRecord, match=re.escape(str(path))):
            read_profile(path)


def test_the_profile_of_the_docs_is_the_one_that_is_used(tmp_path: Path) -> None:
    """The file that the docs show is `measured/1`, number for number, under another name."""
    text = (ROOT / "docs" / "scoring.md").read_text()
    [shown] = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    measured = PROFILES["measured/1"]
    mine = read_profile(write(tmp_path, shown))
    assert mine.model_copy(update={"name": measured.name, "note": measured.note}) == measured
