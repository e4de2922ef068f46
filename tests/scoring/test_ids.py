import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import BadCellId, CellId, parse_cell_id

SEGMENT = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/#"), min_size=1
).filter(lambda text: text not in {".", ".."})
MODEL = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


@given(SEGMENT, SEGMENT, MODEL, SEGMENT, SEGMENT, st.none() | st.integers(1, 10**6))
def test_an_id_reads_back_as_its_parts(
    sweep: str, tui: str, model: str, family: str, task: str, run: int | None
) -> None:
    """Every cell id gives its parts back, however many slashes the model holds."""
    cell_id = CellId(sweep, tui, model, family, task, run)
    assert parse_cell_id(str(cell_id)) == cell_id


@given(st.text())
def test_any_text_is_an_id_or_an_error(text: str) -> None:
    """A text that is taken for an id is that id's own text."""
    try:
        cell_id = parse_cell_id(text)
    except BadCellId:
        return
    assert str(cell_id) == text


WIRE_MODEL = st.text(
    st.sampled_from("/.%2FE5a é\n\u00a0\ud800"), min_size=1, max_size=12
) | st.text(min_size=1)


@given(WIRE_MODEL)
def test_every_model_has_a_place_in_an_id(model: str) -> None:
    """Whatever an endpoint calls its model, the id is a path that does not climb and gives the name back."""
    cell_id = CellId("s", "t", model, "f", "k", 2)
    assert parse_cell_id(str(cell_id)) == cell_id
    assert not {"", ".", ".."} & set(str(cell_id).split("/"))
    assert str(cell_id).isprintable()


@given(WIRE_MODEL, WIRE_MODEL)
def test_two_models_never_share_an_id(one: str, other: str) -> None:
    """The encoding is unique."""
    parts = [CellId("s", "t", model, "f", "k").model_part for model in (one, other)]
    assert (parts[0] == parts[1]) == (one == other)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("/models/llama-3", "%2Fmodels/llama-3"),
        ("models/llama-3/", "models/llama-3%2F"),
        ("models//llama-3", "models/%2Fllama-3"),
        ("/", "%2F"),
        ("./llama-3", "%2E/llama-3"),
        ("../models/x", "%2E%2E/models/x"),
        ("/my models/50%", "%2Fmy models/50%25"),
        ("%2Fm", "%252Fm"),
        ("a\tb", "a%09b"),
        # These could always stand in an id, and stay what they are.
        ("my model", "my model"),
        ("50%", "50%"),
        ("a%20b", "a%20b"),
        ("a%2Fb", "a%2Fb"),
        ("%2fm", "%2fm"),
        ("%FFm", "%FFm"),
        ("v1.5/.hidden", "v1.5/.hidden"),
    ],
)
def test_a_models_place_in_an_id(model: str, part: str) -> None:
    """What an id cannot hold is percent-encoded, and nothing else."""
    assert CellId("s", "t", model, "f", "k").model_part == part
    assert parse_cell_id(f"s/t/{part}/f/k").model == model


def test_a_published_id_is_split_from_both_ends() -> None:
    """The model takes all that is left between agent and task."""
    cell_id = parse_cell_id(
        "free/aider/stepfun-ai/step-3.5-flash/polyglot/rust-error-handling#run2"
    )
    assert cell_id == CellId(
        "free", "aider", "stepfun-ai/step-3.5-flash", "polyglot", "rust-error-handling", 2
    )
    assert cell_id.task_id == "polyglot/rust-error-handling"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 of at least 5 parts"),
        ("a/b/c/d", "4 of at least 5 parts"),
        ("a/b//d/e", "the model has an empty part"),
        ("/b/c/d/e", "the sweep has an empty part"),
        ("a/../c/d/e", "the tui holds '..'"),
        ("a/b/c/../d/e", "the model holds '..'"),
        ("a/b/c/d/.", "the task holds '.'"),
        ("a/b/c/d/e\n", "cannot be printed"),
        ("a/b/c/d/e#run0", "'#'"),
        ("a/b/c/d/e#run01", "'#'"),
        ("a/b/c/d/e#run1#run2", "'#'"),
    ],
)
def test_a_text_that_is_not_an_id_says_why(text: str, reason: str) -> None:
    """A text that would climb, or would not read back, is refused with its reason."""
    with pytest.raises(BadCellId) as caught:
        parse_cell_id(text)
    assert reason in str(caught.value)
    assert caught.value.text == text


@pytest.mark.parametrize(
    "parts",
    [
        ("a/b", "t", "m", "f", "k", None),
        ("s", "t", "m", "f", "k", 0),
        ("s", "t", "m", "f/g", "k", None),
        ("s", "t", "m", "f", "k#run2", None),
    ],
)
def test_parts_that_would_not_read_back_are_refused(
    parts: tuple[str, str, str, str, str, int | None],
) -> None:
    """An id cannot be made from parts that would come back as other parts."""
    with pytest.raises(BadCellId):
        CellId(*parts)
