"""Runs a test for many cases as one test, where what pytest does around each would cost more than the case."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

Test = Callable[..., Any]


@contextmanager
def case(label: object) -> Iterator[None]:
    """Name the case in what goes wrong inside."""
    try:
        yield
    except pytest.skip.Exception as skipped:
        raise AssertionError(f"a skipped case would skip those behind it: {label}") from skipped
    except BaseException as error:
        error.add_note(f"case: {label}")
        raise


def cases(names: str, values: Iterable[Any]) -> Callable[[Test], Test]:
    """Have a test run for each of the values, one after the other; fixtures are made once for all of them.

    Each case has a `tmp_path` of its own. The first one that fails ends the test, which names it.

    Args:
        names: Parameters that the values are for, with commas between them.
        values: A value for each case, or a tuple of them where there are several names.
    """
    wanted = [name.strip() for name in names.split(",")]
    rows = [dict(zip(wanted, each if len(wanted) > 1 else (each,), strict=True)) for each in values]
    assert rows, "a test without a case shows nothing"

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)
        others = [each for name, each in signature.parameters.items() if name not in wanted]

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            for row, given in _given(rows, fixtures):
                with case(row):
                    test(**row, **given)

        @functools.wraps(test)
        async def run_async(**fixtures: Any) -> None:
            for row, given in _given(rows, fixtures):
                with case(row):
                    await test(**row, **given)

        chosen: Any = run_async if inspect.iscoroutinefunction(test) else run
        # Where pytest looks for fixtures.
        chosen.__signature__ = signature.replace(parameters=others)
        return cast("Test", chosen)

    return decorate


def _given(
    rows: list[dict[str, Any]], fixtures: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each case with its fixtures."""
    for number, row in enumerate(rows):
        given = dict(fixtures)
        if isinstance(folder := given.get("tmp_path"), Path):
            given["tmp_path"] = folder / str(number)
            given["tmp_path"].mkdir()
        yield row, given
