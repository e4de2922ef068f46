"""What MkDocs does not do by itself: pages from the repository's root, and lists of what a package exports."""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = "repository/"
"""Where files stand in the site that are outside docs/ in the repository."""
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
_EXPORTS_FROM = re.compile(r"cab\.(?!.*\.lazy$)")
_EXPORTED = re.compile(r"^<!-- exported by (\S+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and every file outside docs/ that a page links to."""
    wanted = set(ROOT_PAGES)
    for file in files.documentation_pages():
        source = _in_repository(file.src_uri)
        targets = (_target(source, match[1]) for match in _LINK.finditer(file.content_string))
        wanted.update(each for each in targets if not each.startswith("docs/"))
    for path in sorted(wanted):
        file = File.generated(config, OUTSIDE + path, abs_src_path=str(ROOT / path))
        files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return a page whose links hold in the site, with what its packages export."""
    source, here = _in_repository(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        target = _in_site(_target(source, match[1]))
        return f"]({posixpath.relpath(target, here or '.')}{match[2] or ''})"

    linked = _LINK.sub(moved, markdown)
    return _EXPORTED.sub(lambda match: _exports(ROOT / match[1]), linked)


def _in_repository(uri: str) -> str:
    return uri.removeprefix(OUTSIDE) if uri.startswith(OUTSIDE) else f"docs/{uri}"


def _in_site(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else OUTSIDE + path


def _target(source: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _exports(module: Path) -> str:
    """Return the directives for what a module imports from elsewhere in CAB to export it.

    A comment above imports is the heading of what they import.
    """
    text = module.read_text(encoding="utf-8")
    found: dict[int, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if comment := re.match(r"# (?!noqa)(.+)", line):
            found[number] = [f"## {comment[1][0].upper()}{comment[1][1:]}"]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and _EXPORTS_FROM.match(node.module or ""):
            found[node.lineno] = [f"::: {node.module}.{each.name}" for each in node.names]
    return "\n\n".join(line for number in sorted(found) for line in found[number])
