"""The interface as OpenAPI describes it: what is sent, and what is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.application import PhotoApplication
from tools.service.intake import BINARY, FORM, JSON

_IMAGES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
_BEARER = "token"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Problem(_Row):
    """Why a request is refused."""

    error: str


class Health(_Row):
    """That the service answers."""

    status: Literal["ok"]
    models: int


class NamedClass(_Row):
    """A class by the number that answers give."""

    id: int
    name: str


class ModelRow(_Row):
    """A model that answers."""

    name: str
    """What a request calls it."""
    application: str
    task: str
    """What it does, for people."""
    about: str
    note: str
    """What its answers must not be used for; empty if nothing needs saying."""
    images: int = Field(ge=1, le=2)
    """Images that a drawn answer needs: two are compared."""
    classes: list[NamedClass]
    """Classes by number; empty where answers name what they mean."""


class Models(_Row):
    """The models, the first of which answers unless another is named."""

    models: list[ModelRow]
    bytes: int
    """Largest permitted request."""


class Milliseconds(_Row):
    """Where the time went."""

    decode: float
    network: float
    """From pixels to the answer; of a batch, for all its images."""
    draw: float | None = None


class ShownColumn(_Row):
    """A column of the table."""

    title: str
    kind: Literal["text", "share", "number"]


class Shown(_Row):
    """The answer as the page shows it."""

    image: str
    """The drawn image, as a data: address of a JPEG."""
    summary: str
    detail: str
    columns: list[ShownColumn]
    rows: list[list[str | float]]


class Prediction(_Row):
    """What a model answers."""

    model: str
    application: str
    answers: list[Any]
    """One for each image, in their order."""
    sizes: list[tuple[int, int]]
    """Width and height of each image in pixels."""
    milliseconds: Milliseconds
    shown: Shown | None = None
    """Only if the request says draw=true."""


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request makes no sense.",
        401: "The token is missing or wrong.",
        403: "Asked under another host name, or by the page of another site.",
        408: "The request came too slowly.",
        411: "The request does not state its length.",
        413: "The request has too many bytes, or an image too many pixels.",
        415: "The body is none of the three forms, or an image of no known format.",
        422: "The image is damaged, or shows nothing that could be answered.",
        429: "Too many connections from this address.",
        431: "The headers are too large.",
        500: "A fault of the service.",
        503: "Too many requests wait, or too many bytes: try again after Retry-After seconds.",
    }.items()
}

_MODEL = {
    "type": "string",
    "description": "Name or number of the model in /v1/models; by default the first.",
}
_DRAW = {
    "type": "boolean",
    "default": False,
    "description": "Whether a drawn answer is wanted too.",
}
_ONE = {"type": "string", "contentMediaType": "image/*"}


def _one_or_two(one: Mapping[str, str]) -> dict[str, Any]:
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 2}]}


def _fields(one: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["image"],
        "properties": {"image": _one_or_two(one), "model": _MODEL, "draw": _DRAW},
    }


# Bodies are read by tools.service.intake, in memory and within limits, not by FastAPI.
PREDICT: dict[str, Any] = {
    "parameters": [
        {"name": "model", "in": "query", "required": False, "schema": _MODEL},
        {"name": "draw", "in": "query", "required": False, "schema": _DRAW},
    ],
    "requestBody": {
        "required": True,
        "content": {
            FORM: {"schema": _fields(_ONE)},
            JSON: {"schema": _fields({**_ONE, "contentEncoding": "base64"})},
            **{kind: {"schema": {}} for kind in (*_IMAGES, BINARY)},
        },
    },
}


def complete(
    document: dict[str, Any], applications: Iterable[PhotoApplication[Any]], *, token: bool
) -> dict[str, Any]:
    """Add to an OpenAPI document what the answers of some applications contain.

    Args:
        document: The document, which is changed.
        applications: Applications of the models that are offered.
        token: Whether requests for answers need one.
    """
    schemas = document["components"]["schemas"]
    names = {one.name: dict(one.schema) for one in applications}
    schemas |= names
    schemas["Prediction"]["properties"]["answers"]["items"] = {
        "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]
    }
    if token:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {_BEARER: scheme}
        for path, methods in document["paths"].items():
            if path.startswith("/v1/") or path == "/metrics":
                for method in methods.values():
                    method["security"] = [{_BEARER: []}]
    return document
