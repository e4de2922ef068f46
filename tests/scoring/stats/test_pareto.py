from hypothesis import given
from hypothesis import strategies as st

from cab.scoring.stats import Offer, Pareto, pareto_front

OFFERS = st.lists(
    st.builds(
        Offer,
        st.text(max_size=2),
        st.one_of(st.none(), st.integers(0, 5)),
        st.one_of(st.none(), st.integers(0, 4).map(lambda passed: passed / 4)),
    )
)


def names(offers: list[Offer]) -> list[str]:
    return [offer.name for offer in offers]


def test_worked_by_hand() -> None:
    """1 $ for 1/4, 2 $ for 3/4, 3 $ for 1/2, 4 $ for 1: the third is beaten by the second."""
    offers = [Offer("d", 4, 1), Offer("c", 3, 0.5), Offer("a", 1, 0.25), Offer("b", 2, 0.75)]
    result = pareto_front(offers)
    assert names(result.front) == ["a", "b", "d"]
    assert names(result.dominated) == ["c"]


def test_none_and_one() -> None:
    """No offers make no front; a single one is the front."""
    assert pareto_front([]) == Pareto([], [], [])
    assert names(pareto_front([Offer("a", 1, 0)]).front) == ["a"]


def test_equal_offers_share_the_front() -> None:
    """Ties in both are on the front together; a tie in one loses to what is better in the other."""
    ties = [Offer("b", 1, 0.5), Offer("a", 1, 0.5), Offer("dear", 2, 0.5), Offer("bad", 1, 0.4)]
    result = pareto_front(ties)
    assert names(result.front) == ["a", "b"]
    assert names(result.dominated) == ["bad", "dear"]


def test_an_unknown_price_is_not_free() -> None:
    """An unknown cost or pass rate keeps an offer off the front, and it beats no other."""
    result = pareto_front([Offer("z", None, 1), Offer("y", 0, None), Offer("a", 9, 0.1)])
    assert names(result.front) == ["a"]
    assert names(result.unknown) == ["y", "z"]


@given(OFFERS)
def test_comparing_all_pairs_gives_the_same_front(offers: list[Offer]) -> None:
    """The definition, applied to every pair, splits the offers in the same way."""
    result = pareto_front(offers)
    known = [offer for offer in offers if offer.cost is not None and offer.pass_rate is not None]

    def beaten(offer: Offer) -> bool:
        return any(
            (other.cost <= offer.cost and other.pass_rate >= offer.pass_rate)  # type: ignore[operator]
            and (other.cost, other.pass_rate) != (offer.cost, offer.pass_rate)
            for other in known
        )

    assert sorted(names(result.dominated)) == sorted(names([o for o in known if beaten(o)]))
    assert sorted(names(result.front)) == sorted(names([o for o in known if not beaten(o)]))
    assert len(result.unknown) == len(offers) - len(known)
