from cab.proxy.ledger.backlog import Backlog


def test_what_fits_is_held_in_order_and_the_rest_is_counted() -> None:
    """Records are held up to a number of bytes; those beyond are counted, not kept."""
    backlog = Backlog(max_bytes=60)
    for n in range(9):
        backlog.take({"kind": "cell_seal", "n": n}, {})
    assert [record["n"] for record in backlog.held] == [0, 1]
    assert (backlog.lost, backlog.unended) == (7, [])
    backlog.clear()
    assert (backlog.held, backlog.lost) == ([], 0)
    backlog.take({"kind": "cell_seal", "n": 9}, {})
    assert len(backlog.held) == 1


def test_a_call_whose_end_does_not_fit_is_remembered() -> None:
    """An END that is lost leaves its call to be ended, if its START is in the ledger or held."""
    backlog = Backlog(max_bytes=40)
    backlog.take({"kind": "start", "call_id": "held"}, {})
    for call_id in ("held", "written", "unknown"):
        backlog.take({"kind": "end", "call_id": call_id}, {"written": {}})
    assert backlog.unended == ["held", "written"]
    assert backlog.lost == 3


def test_a_record_that_is_no_json_is_lost() -> None:
    """What cannot be written as JSON cannot be held for writing."""
    backlog = Backlog()
    backlog.take({"kind": "end", "bad": object()}, {})
    assert (backlog.held, backlog.lost) == ([], 1)
