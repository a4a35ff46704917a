"""The service's interface: what each address answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backbone import __version__
from tools.flows.answerer import Refusal
from tools.service.crowd import Crowd
from tools.service.desk import Desk
from tools.service.guard import fault
from tools.service.intake import JSON, Question, read_question
from tools.service.metrics import METRICS_TYPE, Metrics
from tools.service.refusals import as_json, refused
from tools.service.schema import PREDICT, REFUSALS, Health, Models, Prediction, complete

Predict = Callable[[Callable[[], Question]], Awaitable[bytes]]


@dataclass(frozen=True)
class Parts:
    """What the addresses answer with.

    Attributes:
        predict: Function from one that reads a question, which takes time, to the answer as JSON.
        models: The list of models, as :class:`~tools.service.schema.Models`.
        applications: Applications of the models.
        pages: Type and content of the page's files, by path.
        desk: Where answers are computed.
        crowd: All connections.
        metrics: Counters.
        token: Whether requests for answers need one.
    """

    predict: Predict
    models: Mapping[str, Any]
    applications: tuple[Any, ...]
    pages: Mapping[str, tuple[str, bytes]]
    desk: Desk
    crowd: Crowd
    metrics: Metrics
    token: bool = False


def make_app(parts: Parts) -> FastAPI:
    """The application, without the checks that :mod:`tools.service.guard` makes before it."""
    app = FastAPI(
        title="MobileNet suite",
        version=__version__,
        description="Answers of models for images. Every refusal is JSON with its reason.",
        docs_url=None,  # It would load scripts from another site.
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_error)
    _add_answers(app, parts)
    _add_state(app, parts)
    for path, (kind, content) in parts.pages.items():
        _add_page(app, path, kind, content)
    return app


def _add_answers(app: FastAPI, parts: Parts) -> None:
    @app.post(
        "/v1/predict",
        response_model=Prediction,
        responses=REFUSALS,
        openapi_extra=PREDICT,
        summary="The answer of a model for an image",
    )
    async def predict(request: Request) -> Response:
        """Send an image as the body, in a form, or as base64 in JSON."""
        body = await request.body()
        try:
            with parts.desk.place():
                kind = request.headers.get("content-type", "")
                query = request.query_params.multi_items()
                content = await parts.predict(partial(read_question, kind, query, body))
                return Response(content, media_type=JSON)
        except (Refusal, ClientDisconnect):
            raise
        except Exception as error:
            raise fault(error) from None

    @app.get(
        "/v1/models",
        response_model=Models,
        responses={401: REFUSALS[401], 403: REFUSALS[403]},
        summary="The models that answer",
    )
    async def models() -> Response:
        """Names, applications and classes."""
        return Response(as_json(dict(parts.models)), media_type=JSON)


def _add_state(app: FastAPI, parts: Parts) -> None:
    @app.get("/healthz", response_model=Health, summary="Whether the service answers")
    async def healthz() -> dict[str, Any]:
        """For containers and proxies; it computes nothing."""
        return {"status": "ok", "models": len(parts.models["models"])}

    @app.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: REFUSALS[401],
        },
        summary="Counters for Prometheus",
    )
    async def metrics() -> Response:
        """Requests, times, batches, connections and bytes."""
        parts.metrics.connections.set(parts.crowd.total)
        parts.metrics.bytes.set(parts.crowd.flight.total)
        parts.metrics.working.set(parts.desk.working)
        return Response(parts.metrics.text(), headers={"content-type": METRICS_TYPE})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        if not described:
            described.update(complete(app.openapi(), parts.applications, token=parts.token))
        return JSONResponse(described)

    described: dict[str, Any] = {}


def _add_page(app: FastAPI, path: str, kind: str, content: bytes) -> None:
    """A file of the page, from memory."""

    @app.get(path, include_in_schema=False)
    async def page() -> Response:
        return Response(content, headers={"content-type": kind})


async def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers, content = refused(error)
    response = Response(content, status_code=error.status)
    response.raw_headers = headers
    return response


async def _on_http_error(request: Request, error: Exception) -> Response:
    """What FastAPI refuses by itself: paths and methods that do not exist."""
    assert isinstance(error, HTTPException)
    text = "there is no such page"
    if error.status_code == 405:
        text = f"{request.method[:20]} is not known here"
    response = await _on_refusal(request, Refusal(error.status_code, text))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response
