"""Images of several requests, computed together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, NamedTuple

from configs.serve import BatchSpec
from datasets.images import Image
from tools.service.metrics import Metrics

Found = tuple[list[Any], float]


class _Waiting(NamedTuple):
    image: Image
    kind: Hashable
    since: float
    found: asyncio.Future[tuple[Any, float]]


class Batcher:
    """Collects images while others are computed, and computes those that fit together.

    An image waits for others only while as many batches are computed as may be, or while others
    are being decoded, and for those not longer than the flags permit.

    Args:
        compute: Function that returns what the network finds in each of some images, and the
            milliseconds that it took.
        kind: Function from an image to what the images of a batch must have in common.
        spec: Limits of a batch.
        metrics: Where the sizes of batches are counted.
        at_once: Number of batches that may be computed at the same time.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Image]], Awaitable[Found]],
        kind: Callable[[Image], Hashable],
        spec: BatchSpec,
        metrics: Metrics,
        at_once: int = 1,
    ) -> None:
        self._compute, self._kind, self._spec, self._metrics = compute, kind, spec, metrics
        self._at_once = at_once
        self._line: deque[_Waiting] = deque()
        self._coming = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, image: Awaitable[Image]) -> tuple[Any, float]:
        """What the network finds in an image, and the milliseconds of the batch.

        Args:
            image: The image, which is still being decoded: others may wait for it.

        Raises:
            Exception: Whatever the decoding raises, or the network for this image alone.
        """
        self._coming += 1
        try:
            given = await image
        except BaseException:
            self._coming -= 1
            self._start()
            raise
        self._coming -= 1
        found: asyncio.Future[tuple[Any, float]] = asyncio.get_running_loop().create_future()
        self._line.append(_Waiting(given, self._kind(given), time.monotonic(), found))
        self._start()
        return await found

    def _start(self) -> None:
        """Compute the next batch, unless enough are computed or it is worth waiting."""
        if len(self._tasks) >= self._at_once or not self._line:
            return
        first = self._line[0]
        batch = [one for one in self._line if one.kind == first.kind][: self._spec.batch]
        wait = first.since + self._spec.batch_milliseconds / 1000 - time.monotonic()
        if self._coming and len(batch) < self._spec.batch and wait > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(wait, self._wake)
            return
        taken = {id(one) for one in batch}
        self._line = deque(one for one in self._line if id(one) not in taken)
        task = asyncio.get_running_loop().create_task(self._answer(batch))
        self._tasks.add(task)
        task.add_done_callback(self._end)
        self._metrics.batches.observe(len(batch))
        self._start()

    def _wake(self) -> None:
        self._timer = None
        self._start()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start()

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Compute a batch; if that fails, each image alone, so that none fails for another."""
        try:
            found, milliseconds = await self._compute([one.image for one in batch])
            answered = [*zip(batch, found, strict=True)]
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].found.done():
                    batch[0].found.set_exception(error)
                return
            for one in batch:
                await self._answer([one])
            return
        for one, row in answered:
            if not one.found.done():
                one.found.set_result((row, milliseconds))
