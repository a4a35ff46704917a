"""The answer to a question: decoded, computed alone or with others, and put into plain data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from configs.serve import Serve
from datasets.images import Image
from tools.flows.answerer import Answerer, Refusal
from tools.service.batching import Batcher, Found
from tools.service.desk import Desk
from tools.service.intake import Question
from tools.service.metrics import Metrics
from tools.service.refusals import as_json
from tools.service.shelf import Shelf
from tools.service.uploads import as_url, decode_upload, pixels_of

_BAD_REQUEST = 400


class _Task(NamedTuple):
    """A question and who answers it."""

    question: Question
    number: int
    answerer: Answerer


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
        self._batchers: dict[int, tuple[Answerer, Batcher]] = {}

    async def __call__(self, read: Callable[[], Question]) -> bytes:
        """The answer as JSON. Raises Refusal if there is none."""
        task, pixels = await self._desk.run(self._begin, read)
        async with self._desk.pixels(pixels):
            if task.answerer.together is None or self._config.batching.batch == 1:
                return await self._desk.run(self._alone, task)
            return await self._with_others(task)

    def _begin(self, read: Callable[[], Question]) -> tuple[_Task, int]:
        """What is to be done, and the pixels of the images."""
        question = read()
        number = self._shelf.find(question.model)
        wanted, given = self._shelf.images_for(number), len(question.images)
        if given != wanted and (question.draw or given > wanted):
            raise Refusal(_BAD_REQUEST, f"this model answers for {wanted} image(s), not {given}")
        most = self._config.limits.pixels
        pixels = sum(pixels_of(image, most) for image in question.images)
        return _Task(question, number, self._shelf.open(number)), pixels

    def _decode(self, question: Question) -> tuple[list[Image], float]:
        """The images, and the milliseconds that it took."""
        start, most = time.perf_counter(), self._config.limits.pixels
        images = [decode_upload(image, most) for image in question.images]
        return images, 1000 * (time.perf_counter() - start)

    def _alone(self, task: _Task) -> bytes:
        images, decode = self._decode(task.question)
        found, network = _look(task.answerer, images)
        return self._reply(task, images, found, {"decode": decode, "network": network})

    async def _with_others(self, task: _Task) -> bytes:
        decoding = asyncio.ensure_future(self._desk.run(self._decode, task.question))

        async def first() -> Image:
            return (await decoding)[0][0]

        found, network = await self._batcher(task).find(first())
        images, decode = decoding.result()
        times = {"decode": decode, "network": network}
        if task.question.draw:
            return await self._desk.run(self._reply, task, images, [found], times)
        return self._reply(task, images, [found], times)

    def _batcher(self, task: _Task) -> Batcher:
        """Where the images of a model come together."""
        answerer = task.answerer
        known = self._batchers.get(task.number)
        if known is None or known[0] is not answerer:  # The model may have been opened anew.
            assert answerer.together is not None
            rows = self._batchers.items()
            self._batchers = {n: one for n, one in rows if self._shelf.holds(one[0])}
            known = self._batchers[task.number] = (
                answerer,
                Batcher(
                    lambda images: self._desk.run(_look, answerer, images),
                    answerer.together,
                    self._config.batching,
                    self._metrics,
                    self._config.limits.concurrent,
                ),
            )
        return known[1]

    def _reply(
        self, task: _Task, images: list[Image], found: list[Any], milliseconds: dict[str, float]
    ) -> bytes:
        """The answer, drawn if that is asked for. Raises ValueError if a number is not finite."""
        offer = self._shelf.offer(task.number)
        reply: dict[str, Any] = {
            "model": offer.name,
            "application": offer.application.name,
            "answers": [task.answerer.plain(one) for one in found],
            "sizes": [[image.shape[1], image.shape[0]] for image in images],
            "milliseconds": milliseconds,
        }
        if task.question.draw:
            start = time.perf_counter()
            told = task.answerer.tell(images, found)
            reply["shown"] = {
                "image": as_url(told.picture),
                "summary": told.summary,
                "detail": told.detail,
                "columns": [column._asdict() for column in told.columns],
                "rows": told.rows,
            }
            milliseconds["draw"] = 1000 * (time.perf_counter() - start)
        return as_json(reply)


def _look(answerer: Answerer, images: Sequence[Image]) -> Found:
    """What a model finds in images, and the milliseconds that it took."""
    start = time.perf_counter()
    found = answerer.look(list(images))
    return found, 1000 * (time.perf_counter() - start)
