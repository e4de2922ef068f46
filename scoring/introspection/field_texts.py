"""The texts of fields at run time: a docstring behind a field is nowhere but in the source."""

from functools import cached_property
from typing import NamedTuple, SupportsIndex, TypeVar

_Class = TypeVar("_Class", bound=type)

_ROOM = "cab."


class FieldText(NamedTuple):
    """A field of a class, as its source has it."""

    name: str
    """Its name."""
    type: str
    """Its annotation."""
    default: str | None
    """Its default; None if it has none, so that it must be given."""
    text: str
    """The docstring behind it; empty if it has none."""


def field_texts(owner: type) -> list[FieldText]:
    """Return the fields of a class, those of its bases first; none where the source is not there."""
    found: dict[str, FieldText] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.startswith(_ROOM):
            found.update((field.name, field) for field in _own(base))
    return list(found.values())


def with_field_texts(owner: _Class) -> _Class:
    """Return the class with the texts of its fields in its help, read when they are first asked for."""
    owner.__doc__ = _Help.of(owner, owner.__doc__ or "")
    return owner


def plain_text(owner: type) -> str:
    """Return the docstring of a class without the texts of its fields; empty if it has none."""
    text = vars(owner).get("__doc__") or ""
    return text.plain if isinstance(text, _Help) else text


class _Help(str):
    """A docstring that is put together on first use.

    Of a class with a metaclass of its own, as pydantic's models are, `pydoc` takes the object itself and
    expands its tabs; everybody else gets what `__get__` returns.
    """

    owner: type
    plain: str
    """The docstring without the fields."""

    @classmethod
    def of(cls, owner: type, plain: str) -> "_Help":
        made = cls(plain)
        made.owner, made.plain = owner, plain
        return made

    def __get__(self, _: object, __: type | None = None) -> str:
        return self._whole

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        return self._whole.expandtabs(tabsize)

    @cached_property
    def _whole(self) -> str:
        import inspect  # noqa: PLC0415 - see _own

        fields = field_texts(self.owner)
        parts = [inspect.cleandoc(self.plain)]
        if fields:
            parts += ["", "Fields:", *map(_shown, fields)]
        return "\n".join(parts)


def _shown(field: FieldText) -> str:
    default = "" if field.default is None else f" = {field.default}"
    text = "\n".join(f"        {line.strip()}" for line in field.text.splitlines())
    return f"    {field.name}: {field.type}{default}" + (f"\n{text}" if text else "")


def _own(owner: type) -> list[FieldText]:
    # Loaded here: whoever does not ask for help does not wait for them.
    import ast  # noqa: PLC0415
    import inspect  # noqa: PLC0415
    import textwrap  # noqa: PLC0415

    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    except (OSError, TypeError):
        return []
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    fields: list[FieldText] = []
    for each, behind in zip(body, [*body[1:], None], strict=True):
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        if each.target.id.startswith("_"):
            continue
        text = ""
        if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
            text = inspect.cleandoc(str(behind.value.value))
        default = None if each.value is None else ast.unparse(each.value)
        fields.append(FieldText(each.target.id, ast.unparse(each.annotation), default, text))
    return fields
