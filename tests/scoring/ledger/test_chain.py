from cab.scoring.ledger.chain import Links, line_hash
from tests.scoring.builders import line
from tests.scoring.ledgers import calls, chained, hash_of


def test_a_hash_is_made_from_the_bytes_alone() -> None:
    """The hash that a line must state is that of its bytes without the member, JSON or not."""
    [text] = chained([{"kind": "end"}])
    assert line_hash(text).decode() == hash_of(text)


def test_a_record_without_members_has_a_place_too() -> None:
    """A line that holds nothing but its links is checked as any other."""
    text = line({}).replace(b'"schema":"cab.call/1",', b"")
    text = text[:-67] + line_hash(text) + text[-3:]
    links = Links()
    assert links.check(text) is None
    assert links.head == line_hash(text)


def test_an_edited_hash_is_told_once() -> None:
    """Whether the bytes or the hash of a line were edited, the next line is found to follow it."""
    lines = chained(calls(2))
    for edited in (
        lines[1].replace(b"upstream", b"tokenizr"),
        lines[1][:-67] + b"0" * 64 + lines[1][-3:],
    ):
        links = Links()
        told = [links.check(text) for text in [lines[0], edited, *lines[2:]]]
        assert [what is None for what in told] == [True, False, True, True]


def test_far_lines_are_no_longer_known() -> None:
    """What stood more than a thousand lines earlier is told as broken, not where it was."""
    lines = chained(calls(600))
    links = Links()
    assert [links.check(text) for text in lines] == [None] * 1200
    assert (links.check(lines[1]) or "").startswith("broken: it follows")
    links = Links()
    assert [links.check(text) for text in lines[:1000]] == [None] * 1000
    assert links.check(lines[1]) == "duplicate: this line stands in line 2 already"


def test_a_recovered_proxy_may_go_on_behind_a_damaged_line() -> None:
    """A line that follows the one before a damaged one is no further fault."""
    lines = chained(calls(1))
    links = Links()
    damaged = lines[1].replace(b"upstream", b"tokenizr")
    told = [links.check(text) for text in [lines[0], damaged]]
    links.next_segment()
    assert [what is None for what in told] == [True, False]
    assert links.check(line({"kind": "recovery"}, hash_of(lines[0]))) is None
