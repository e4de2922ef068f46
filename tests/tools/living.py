"""Objects of the proxy that a test reaches into, where nothing public leads to them."""

import gc
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def the_only(kind: type[T], is_meant: Callable[[T], object]) -> T:
    """Return the one living object of exactly this class that is meant.

    Classes are compared, not asked: ``isinstance`` also asks what a weak reference points
    to, and one whose object is gone raises ``ReferenceError``.
    """
    [found] = [o for o in gc.get_objects() if type(o) is kind and is_meant(o)]
    return found
