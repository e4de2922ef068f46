"""Tables of a reference page, made from JSON Schemas and from the OpenAPI document."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}


def row(*cells: str) -> str:
    """Return a row of a table; a bar in a cell is escaped."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def type_text(member: Schema) -> str:
    """Return the type of a member in words, with links to the objects that have a table of their own."""
    choices = member.get("anyOf") or member.get("oneOf") or ()
    if "$ref" in member:
        name = str(member["$ref"]).rpartition("/")[2]
        text = f"[{name}](#{name.lower()})"
    elif choices:
        text = " or ".join(dict.fromkeys(map(type_text, choices)))
    elif "const" in member or "enum" in member:
        text = ", ".join(f"`{value}`" for value in member.get("enum", [member.get("const")]))
    elif isinstance(member.get("type"), list):
        text = " or ".join(_WORDS[each] for each in member["type"])
    elif member.get("items"):
        text = f"list of {type_text(member['items'])}"
    elif isinstance(member.get("additionalProperties"), Mapping):
        text = f"object, each member {type_text(member['additionalProperties'])}"
    else:
        text = _WORDS.get(str(member.get("type")), "anything")
    return text


def meaning(member: Schema) -> str:
    """Return what a member means, with the constants of JSON in place of those of Python."""
    text = str(member.get("description", ""))
    for python, json in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"`?\b{python}\b`?", f"`{json}`", text)
    return text


def object_table(schema: Schema) -> Iterator[str]:
    """Yield the table of an object's members."""
    yield row("member", "type", "meaning")
    yield "|---|---|---|"
    for name, member in schema["properties"].items():
        yield row(f"`{name}`", type_text(member), meaning(member))
    yield ""


def object_sections(schema: Schema) -> Iterator[str]:
    """Yield a section for each object that a schema defines beside its own."""
    for name, made in sorted(schema.get("$defs", {}).items()):
        forms = made.get("oneOf", [made])
        if any("properties" in each for each in forms):
            yield from (f"### {name}", "", " ".join(made.get("description", "").split()), "")
            if len(forms) > 1:
                yield from ("One of these:", "")
            for each in forms:
                yield from object_table(each)


def merged_table(schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Yield one table of the members of several objects; a column says which of them has a member."""
    members: dict[str, dict[str, Schema]] = {}
    for kind, schema in schemas.items():
        for name, member in schema["properties"].items():
            members.setdefault(name, {})[kind] = member
    yield row("member", "in", "type", "meaning")
    yield "|---|---|---|---|"
    for name, found in members.items():
        texts = dict.fromkeys(meaning(member) for member in found.values())
        types = dict.fromkeys(type_text(member) for member in found.values())
        yield row(f"`{name}`", ", ".join(found), " or ".join(types), " / ".join(texts))
    yield ""


def request_sections(document: Schema) -> Iterator[str]:
    """Yield a section for each request that an OpenAPI document describes, and then its objects."""
    for path, methods in document["paths"].items():
        common = methods.get("parameters", ())
        for method, request in methods.items():
            if method in {"head", "parameters"}:
                continue
            yield from (f"### {method.upper()} {path}", "", f"{request['summary']}.", "")
            if "description" in request:
                yield from (request["description"], "")
            yield from _inputs(document, request, common)
            yield row("status", "answer")
            yield "|---|---|"
            for status, answer in request["responses"].items():
                resolved = _resolved(document, answer)
                content: Schema = next(iter(resolved.get("content", {}).values()), {})
                shown = type_text(content["schema"]) if "$ref" in content.get("schema", {}) else ""
                text = resolved.get("description", "")
                yield row(status, f"{shown}: {text}" if shown and text else shown or text)
            yield ""
    yield from object_sections({"$defs": document["components"]["schemas"]})


def _inputs(document: Schema, request: Schema, common: Sequence[Schema]) -> Iterator[str]:
    for named in (*common, *request.get("parameters", ())):
        each = _resolved(document, named)
        text = each.get("description", "")
        yield f"- `{each['name']}` ({each['in']}, {type_text(each['schema'])})" + (
            text and f": {text}"
        )
    body = request.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        yield f"- body: {type_text(body['schema'])}"
    if body or common or request.get("parameters"):
        yield ""


def _resolved(document: Schema, made: Schema) -> Schema:
    while "$ref" in made:
        found: Any = document
        for part in str(made["$ref"]).removeprefix("#/").split("/"):
            found = found[part]
        made = found
    return made
