"""Pydantic models that show the texts of their fields in `help` and in JSON Schemas."""

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from cab.scoring.introspection.field_texts import field_texts, plain_text, with_field_texts


class TextedModel(BaseModel):
    """A base of models whose fields have docstrings.

    Pydantic's `use_attribute_docstrings` would read every class's source when it is imported, which makes
    the import a third longer or more; here it is read for whoever asks.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        with_field_texts(cls)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        described = handler.resolve_ref_schema(schema)
        if text := plain_text(cls):
            described["description"] = text
        for field in field_texts(cls):
            known = cls.model_fields[field.name]
            names = field.name, known.alias, known.serialization_alias
            for name in set(names) & described.get("properties", {}).keys():
                described["properties"][name]["description"] = " ".join(field.text.split())
        return schema
