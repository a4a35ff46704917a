"""The part of JSON Schema that this project's descriptions use, checked strictly.

A keyword that is not known here raises, so that nothing is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
# They say something to people only.
_NOTES = {"title", "description", "default", "contentMediaType", "contentEncoding", "type"}


def refusal_of(value: Any, schema: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Why a value is not as a schema says; empty if it is.

    Args:
        value: Plain data.
        schema: The schema.
        parts: Those that ``$ref`` may name, by name.
    """
    if text := _of_type(value, schema):
        return text
    known = [(keyword, asked) for keyword, asked in schema.items() if keyword not in _NOTES]
    found = (_of_keyword(keyword, asked, value, schema, parts) for keyword, asked in known)
    return next((text for text in found if text), "")


def _of_type(value: Any, schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = any(
        isinstance(value, _TYPES[kind]) and isinstance(value, bool) <= (kind == "boolean")
        for kind in kinds
    )
    return "" if fits else f"{value!r:.80} is no {kinds}"


def _of_keyword(
    keyword: str, asked: Any, value: Any, schema: Mapping[str, Any], parts: Mapping[str, Any]
) -> str:
    match keyword:
        case "$ref":
            return refusal_of(value, parts[asked.rpartition("/")[2]], parts)
        case "anyOf":
            reasons = [refusal_of(value, one, parts) for one in asked]
            return "" if "" in reasons else "; ".join(reasons)
        case "const" | "enum":
            known = [asked] if keyword == "const" else asked
            return "" if value in known else f"{value!r:.80} is none of {known}"
        case "minimum" | "maximum":
            fits = value >= asked if keyword == "minimum" else value <= asked
            return "" if fits else f"{value} is beyond {asked}"
        case "minItems" | "maxItems":
            fits = len(value) >= asked if keyword == "minItems" else len(value) <= asked
            return "" if fits else f"{len(value)} rows, but {keyword} {asked}"
        case "items" | "prefixItems":
            inner = asked if keyword == "prefixItems" else [asked] * len(value)
            pairs = zip(value, inner, strict=True)
            return next(filter(None, (refusal_of(one, each, parts) for one, each in pairs)), "")
        case "required":
            lacking = set(asked) - set(value)
            return f"{lacking} is missing" if lacking else ""
        case "properties":
            there = [(value[name], one) for name, one in asked.items() if name in value]
            return next(filter(None, (refusal_of(one, each, parts) for one, each in there)), "")
        case "additionalProperties":
            more = [one for name, one in value.items() if name not in schema.get("properties", {})]
            if asked is False:
                return f"{more!r:.80} is too much" if more else ""
            return next(filter(None, (refusal_of(one, asked, parts) for one in more)), "")
    raise AssertionError(f"keyword {keyword} is not known")
