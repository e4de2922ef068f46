"""Tool definitions as OpenAI's models read them: TypeScript signatures in a namespace.

The form is published for the open models (the Harmony format). That the closed ones read the same is
known from what they report: it explains the prompts of recorded calls to within one or two tokens.
Whatever a client sent as a definition, a text comes back.

Source:
    https://developers.openai.com/cookbook/articles/openai-harmony, "Function calling".
"""

from cab.proxy.meter.json_values import JsonObject, as_list, as_object, as_text, dump_text

MOST_CHARS = 16 << 20
"""Where writing out ends: references in a schema can multiply it without end."""
_TYPE_CHARS = 50
"""What a type takes of that, besides its comments."""
_MOST_LEVELS = 20
"""Deepest nesting that is written out."""

_PLAIN = {"number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def namespace(tools: list[object]) -> str:
    """Return the definitions of tools as one text.

    Args:
        tools: As the client sent them, of chat completions (`function` inside) or responses (flat).
    """
    signature = _Writer().signature
    return "namespace functions {\n\n" + "".join(map(signature, tools)) + "} // namespace functions"


class _Writer:
    """Writes types until there have been too many."""

    def __init__(self) -> None:
        self._room_chars = MOST_CHARS
        self._definitions: JsonObject = {}

    def signature(self, tool: object) -> str:
        definition = as_object(tool)
        function = as_object(definition.get("function") or definition.get("custom")) or definition
        schema = as_object(function.get("parameters"))
        self._definitions = as_object(schema.get("$defs") or schema.get("definitions"))
        head = "".join(line + "\n" for line in self._comments(function.get("description")))
        takes = f"_: {self._members(schema, 0)}" if schema.get("properties") else ""
        return f"{head}type {as_text(function.get('name')) or ''} = ({takes}) => any;\n\n"

    def _members(self, schema: JsonObject, level: int) -> str:
        """Write an object: on one line, or on several if anything in it has a comment."""
        indent = "  " * level
        required = as_list(schema.get("required"))
        title = self._comments(schema.get("title"))
        lines, bare, explained = [indent + line for line in title], list[str](), bool(title)
        for name, value in as_object(schema.get("properties")).items():
            inner = self._resolved(value)
            mark = "" if name in required else "?"
            member = f"{name}{mark}: {self._type(inner, level + 1)}"
            notes = [
                *self._comments(inner.get("title")),
                *self._comments(inner.get("description")),
            ]
            default = f" // default: {dump_text(inner['default'])}" if "default" in inner else ""
            explained = explained or bool(notes or default)
            lines += [indent + line for line in (*notes, f"{member},{default}")]
            bare.append(member)
        if not explained:
            return f"{{ {', '.join(bare)} }}"
        return "\n".join(["{", *lines, indent + "}"])

    def _type(self, schema: JsonObject, level: int) -> str:
        self._room_chars -= _TYPE_CHARS
        if self._room_chars < 0 or level > _MOST_LEVELS:
            return "any"
        choices = as_list(schema.get("anyOf")) or as_list(schema.get("oneOf"))
        if choices:
            return " | ".join(self._type(self._resolved(choice), level) for choice in choices)
        values = as_list(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])
        if values:
            return " | ".join(map(dump_text, values))
        kinds = as_list(schema.get("type")) or [schema.get("type")]
        return " | ".join(self._named(kind, schema, level) for kind in kinds)

    def _named(self, kind: object, schema: JsonObject, level: int) -> str:
        if kind == "string":
            return "string"
        if kind == "array":
            return self._type(self._resolved(schema.get("items")), level) + "[]"
        if schema.get("properties"):
            return self._members(schema, level)
        return "object" if kind == "object" else _PLAIN.get(str(kind), "any")

    def _resolved(self, value: object) -> JsonObject:
        """Return a schema with what it refers to put in its place."""
        schema = as_object(value)
        for _ in range(_MOST_LEVELS):
            reference = as_text(schema.get("$ref"))
            if reference is None:
                break
            target = as_object(self._definitions.get(reference.rpartition("/")[2]))
            schema = target | {name: inner for name, inner in schema.items() if name != "$ref"}
        return schema

    def _comments(self, value: object) -> list[str]:
        """Return a description as comment lines."""
        text = as_text(value)
        if text is None or self._room_chars < 0:
            return []
        self._room_chars -= len(text)
        return [f"// {line.strip()}".rstrip() for line in text.strip().split("\n")]
