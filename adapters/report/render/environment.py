"""The templates: every text is made visible and escaped, whatever part of a page it is in."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cab.adapters.report.render.marks import MarkedText
from cab.adapters.report.render.visible import visible

TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def templates() -> Environment:
    """Return the environment that all pages are rendered in."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def render(template: str, **values: object) -> str:
    """Return a page or a part of one."""
    return templates().get_template(template).render(**values)


def _finalize(value: object) -> object:
    """Return a value as it may stand in a page: texts visible, unknown as words."""
    if value is None:
        return MarkedText(None)
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def html(text: str) -> Markup:
    """Return a text as markup that shows it, for parts that are not made by a template."""
    return escape(visible(text))
