"""Few threads that compute, a bounded queue before them, and bounded memory for images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TypeVar

from configs.serve import LimitSpec
from tools.flows.answerer import Refusal
from tools.service.refusals import BUSY

Value = TypeVar("Value")


class Desk:
    """Where requests that have arrived completely are worked on.

    Args:
        limits: Limits of the service.

    Attributes:
        working: Number of requests that are computed or wait for it.
    """

    def __init__(self, limits: LimitSpec) -> None:
        self._pool = ThreadPoolExecutor(limits.concurrent, "answer")
        self._places = limits.concurrent + limits.queue
        self._pixels = self._free = limits.concurrent * limits.pixels
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()
        self.working = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue. Raises Refusal if there is none."""
        if self.working >= self._places:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1

    async def run(self, function: Callable[..., Value], *args: object) -> Value:
        """The result of a function that computes, in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    @asynccontextmanager
    async def pixels(self, number: int) -> AsyncIterator[None]:
        """Room for decoded images, first come, first served.

        As many pixels are held at once as the largest images have of which every thread decodes
        one; smaller images may thus wait for each other in a batch.
        """
        number = min(number, self._pixels)
        async with self._turn:
            while self._free < number:
                self._freed.clear()
                await self._freed.wait()
            self._free -= number
        try:
            yield
        finally:
            self._free += number
            self._freed.set()

    def close(self) -> None:
        """Wait for what is computed, and drop what is not."""
        self._pool.shutdown(wait=True, cancel_futures=True)
