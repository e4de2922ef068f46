"""A composite written out as a sum, the way a person would check it with a pocket calculator."""

from collections.abc import Iterator

from cab.scoring.profiles.composite import Composite, TermValue

_FACTOR_NAMES = {
    "fabricated_fix": "a fix where a refusal was due",
    "no_op": "nothing was changed where a change was due",
    "broken_integrity": "protected files were touched",
}


def explain(composite: Composite) -> str:
    """Return the sum behind a composite, a line for each term, with the numbers.

    Values are shown with four digits; the composite is made from the exact ones.
    """
    return "\n".join(_lines(composite))


def _lines(composite: Composite) -> Iterator[str]:
    width = max(len(term.name) for term in composite.terms)
    for term in composite.terms:
        yield f"  {term.name:<{width}}  {_term(term)}"
    yield ""
    yield f"  {_equation(composite)}"
    for factor in composite.factors:
        yield f"  times {_number(factor.value)}: {_FACTOR_NAMES[factor.name]}"
    if composite.reason is not None and not composite.factors:
        yield f"  {composite.reason}"
    yield f"  {_share(composite)}"


def _term(term: TermValue) -> str:
    weight = f"{term.weight:.2f} x"
    if term.value is None:
        why = "does not apply" if term.state == "not_applicable" else "not measured, adds nothing"
        return f"{weight} {'-':>6}   {'':>8}  {why}: {term.made_from}"
    granted = "granted by the profile: " if term.granted else ""
    product = f"= {term.weight * term.value:.4f}"
    return f"{weight} {term.value:>6.4f} {product:>10}  {granted}{term.made_from}"


def _equation(composite: Composite) -> str:
    """Return `0.93 = (0.40 x 1 + ...) / 0.80`."""
    known = [term for term in composite.terms if term.value is not None]
    inner = " + ".join(f"{term.weight:.2f} x {_number(term.value)}" for term in known) or "0"
    divided = composite.divisor != 1
    times = "".join(f" x {_number(factor.value)}" for factor in composite.factors)
    grouped = f"({inner})" if divided or times else inner
    over = f" / {composite.divisor:.2f}" if divided else ""
    if composite.composite is None:
        return f"{composite.profile} = none"
    return f"{composite.profile} = {grouped}{over}{times} = {composite.composite:.4f}"


def _number(value: float | None) -> str:
    """Return a value with four digits, and no zeros behind them."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _share(composite: Composite) -> str:
    measured = [term for term in composite.terms if term.state == "measured"]
    applying = [term for term in composite.terms if term.state != "not_applicable"]
    return (
        f"coverage {composite.coverage:.2f}: {_sum(measured)} of {_sum(applying)}, the weight of "
        "what applies, was measured"
    )


def _sum(terms: list[TermValue]) -> str:
    return f"{sum(term.weight for term in terms):.2f}"
