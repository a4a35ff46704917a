"""The answer to a question: decoded, computed alone or with others, and put into plain data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from configs.serve import Serve
from datasets.images import Image
from tools.flows.answerer import Refusal, Together
from tools.service.batching import Batcher, Found
from tools.service.desk import Desk
from tools.service.intake import Question
from tools.service.metrics import Metrics
from tools.service.shelf import Shelf
from tools.service.uploads import as_url, decode_upload, pixels_of

_BAD_REQUEST = 400


class Predicting:
    """Answers questions with the models of a shelf.

    Args:
        shelf: The models.
        desk: Where they compute.
        config: Flags of the service.
        metrics: Its counters.
    """

    def __init__(self, shelf: Shelf, desk: Desk, config: Serve, metrics: Metrics) -> None:
        self._shelf, self._desk, self._config, self._metrics = shelf, desk, config, metrics
        self._batchers: dict[int, Batcher] = {}

    async def __call__(self, question: Question) -> dict[str, Any]:
        """The answer as the interface describes it. Raises Refusal if there is none."""
        number, together, pixels = await self._desk.run(self._begin, question)
        async with self._desk.pixels(pixels):
            if together is None or self._config.batching.batch == 1:
                return await self._desk.run(self._alone, number, question)
            batcher = self._batchers.get(number)
            if batcher is None:
                batcher = self._batchers[number] = Batcher(
                    lambda images: self._desk.run(self._look, number, images),
                    together,
                    self._config.batching,
                    self._metrics,
                )
            return await self._with_others(number, batcher, question)

    def _begin(self, question: Question) -> tuple[int, Together, int]:
        """Number of the model, what it computes together, and the pixels of the images."""
        number = self._shelf.find(question.model)
        wanted, given = self._shelf.images_for(number), len(question.images)
        if given != wanted and (question.draw or given > wanted):
            raise Refusal(_BAD_REQUEST, f"this model answers for {wanted} image(s), not {given}")
        most = self._config.limits.pixels
        pixels = sum(pixels_of(image, most) for image in question.images)
        return number, self._shelf.open(number).together, pixels

    def _decode(self, question: Question) -> tuple[list[Image], float]:
        """The images, and the milliseconds that it took."""
        start, most = time.perf_counter(), self._config.limits.pixels
        images = [decode_upload(image, most) for image in question.images]
        return images, 1000 * (time.perf_counter() - start)

    def _look(self, number: int, images: Sequence[Image]) -> Found:
        """What a model finds in images, and the milliseconds that it took."""
        answerer = self._shelf.open(number)
        start = time.perf_counter()
        found = answerer.look(list(images))
        return found, 1000 * (time.perf_counter() - start)

    def _alone(self, number: int, question: Question) -> dict[str, Any]:
        images, decode = self._decode(question)
        found, network = self._look(number, images)
        times = {"decode": decode, "network": network}
        return self._reply(number, question, images, found, times)

    async def _with_others(
        self, number: int, batcher: Batcher, question: Question
    ) -> dict[str, Any]:
        decoding = asyncio.ensure_future(self._desk.run(self._decode, question))

        async def first() -> Image:
            return (await decoding)[0][0]

        found, network = await batcher.find(first())
        images, decode = decoding.result()
        times = {"decode": decode, "network": network}
        return await self._desk.run(self._reply, number, question, images, [found], times)

    def _reply(
        self,
        number: int,
        question: Question,
        images: list[Image],
        found: list[Any],
        milliseconds: dict[str, float],
    ) -> dict[str, Any]:
        """The answer, drawn if that is asked for."""
        offer, answerer = self._shelf.offer(number), self._shelf.open(number)
        reply: dict[str, Any] = {
            "model": offer.name,
            "application": offer.application.name,
            "answers": [answerer.plain(one) for one in found],
            "sizes": [[image.shape[1], image.shape[0]] for image in images],
            "milliseconds": milliseconds,
        }
        if question.draw:
            start = time.perf_counter()
            told = answerer.tell(images, found)
            reply["shown"] = {
                "image": as_url(told.picture),
                "summary": told.summary,
                "detail": told.detail,
                "columns": [column._asdict() for column in told.columns],
                "rows": told.rows,
            }
            milliseconds["draw"] = 1000 * (time.perf_counter() - start)
        return reply
