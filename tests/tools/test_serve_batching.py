"""Images of several requests, computed together; and the bounds of what waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.common import Common
from configs.serve import BatchSpec, LimitSpec, Serve
from datasets.images import Image
from tasks.export.onnx_file import write_onnx
from tests.exports import Exports
from tests.tools.page_client import ask, serving
from tests.tools.page_models import make_models, photo
from tools.flows.answerer import Refusal
from tools.service.batching import Batcher, Found
from tools.service.desk import Desk
from tools.service.metrics import Metrics
from tools.service.opening import open_service
from tools.service.shelf import Shelf

FOREVER = 3_600_000.0


def image(value: int, side: int = 4) -> Image:
    return np.full((side, side, 3), value, np.uint8)


class Network:
    """Finds the first value of each image, once it may; and notes who came together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.refuses: int | None = None

    async def __call__(self, images: Sequence[Image]) -> Found:
        values = [int(one[0, 0, 0]) for one in images]
        self.batches.append(values)
        await self.go.wait()
        if self.refuses in values:
            raise ValueError(f"no {self.refuses}")
        return values, 1.0

    def batcher(self, batch: int = 3, wait: float = FOREVER) -> Batcher:
        spec = BatchSpec(batch=batch, batch_milliseconds=wait)
        return Batcher(self, lambda one: one.shape, spec, Metrics())


async def ready(value: Image) -> Image:
    return value


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_single_image_waits_for_nobody() -> None:
    async def main() -> None:
        network = Network()
        network.go.set()
        assert await network.batcher().find(ready(image(7))) == (7, 1.0)
        assert network.batches == [[7]]

    asyncio.run(main())


def test_what_comes_meanwhile_is_computed_together() -> None:
    """At most as many as permitted, and in the order in which they came."""

    async def main() -> None:
        network = Network()
        batcher = network.batcher(batch=3)
        found = [asyncio.ensure_future(batcher.find(ready(image(k)))) for k in range(6)]
        await turns()
        network.go.set()
        assert [row for row, _ in await asyncio.gather(*found)] == list(range(6))
        assert network.batches[0] == [0] or network.batches[0] == [0, 1, 2]
        assert max(map(len, network.batches)) == 3
        assert [one for batch in network.batches for one in batch] == list(range(6))

    asyncio.run(main())


def test_an_image_waits_for_one_that_is_being_decoded() -> None:
    async def main() -> None:
        network, decoded = Network(), asyncio.Event()
        network.go.set()
        batcher = network.batcher(batch=8)

        async def slowly() -> Image:
            await decoded.wait()
            return image(2)

        second = asyncio.ensure_future(batcher.find(slowly()))
        await turns()
        first = asyncio.ensure_future(batcher.find(ready(image(1))))
        await turns()
        assert network.batches == []
        decoded.set()
        assert [row for row, _ in await asyncio.gather(first, second)] == [1, 2]
        assert network.batches == [[1, 2]]

    asyncio.run(main())


def test_it_waits_no_longer_than_permitted_nor_for_what_fails() -> None:
    async def main() -> None:
        network, failed = Network(), asyncio.Event()
        network.go.set()

        async def never() -> Image:
            await failed.wait()
            raise Refusal(422, "damaged")

        async def both(batcher: Batcher) -> tuple[Awaitable[Any], Awaitable[Any]]:
            bad = asyncio.ensure_future(batcher.find(never()))
            await turns()
            return bad, asyncio.ensure_future(batcher.find(ready(image(1))))

        bad, good = await both(network.batcher(wait=1.0))
        assert await good == (1, 1.0)  # A millisecond later.
        patient, waiting = await both(network.batcher())
        await turns()
        assert len(network.batches) == 1
        failed.set()
        for one in (bad, patient):
            with pytest.raises(Refusal, match="damaged"):
                await one
        assert await waiting == (1, 1.0)

    asyncio.run(main())


def test_images_of_another_size_are_another_batch() -> None:
    async def main() -> None:
        network = Network()
        batcher = network.batcher(batch=9)
        sides = (4, 4, 5, 4, 5)
        found = [
            asyncio.ensure_future(batcher.find(ready(image(k, side))))
            for k, side in enumerate(sides)
        ]
        await turns()
        network.go.set()
        assert [row for row, _ in await asyncio.gather(*found)] == [0, 1, 2, 3, 4]
        assert all(len({sides[k] for k in batch}) == 1 for batch in network.batches)

    asyncio.run(main())


def test_nobody_fails_for_another() -> None:
    async def main() -> None:
        network = Network()
        network.refuses = 2
        batcher = network.batcher(batch=4)
        found = [asyncio.ensure_future(batcher.find(ready(image(k)))) for k in range(5)]
        await turns()
        network.go.set()
        rows = await asyncio.gather(*found, return_exceptions=True)
        assert str(rows.pop(2)) == "no 2"
        assert rows == [(k, 1.0) for k in (0, 1, 3, 4)]

    asyncio.run(main())


def test_decoded_pixels_are_bounded_in_the_order_of_coming() -> None:
    async def main() -> None:
        desk = Desk(LimitSpec(megapixels=1e-6 * 10, concurrent=2))  # 20 pixels.
        held: list[int] = []
        go = [asyncio.Event() for _ in range(4)]

        async def hold(number: int, pixels: int) -> None:
            async with desk.pixels(pixels):
                held.append(number)
                await go[number].wait()
                held.remove(number)

        async with asyncio.TaskGroup() as group:
            for number, pixels in enumerate((12, 8, 999, 1)):
                group.create_task(hold(number, pixels))
            await turns()
            assert held == [0, 1]  # The last one would fit, but is not its turn.
            go[0].set()
            await turns()
            assert held == [1]
            go[1].set()
            await turns()
            assert held == [2]
            go[2].set()
            go[3].set()
        assert held == []
        desk.close()

    asyncio.run(main())


def many(service: Any, queries: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """Answers to requests that are sent at the same time."""
    replies: list[dict[str, Any]] = [{}] * len(queries)

    def visit(number: int) -> None:
        query, body = queries[number]
        status, replies[number] = ask(service, query, body)
        assert status == 200, replies[number]

    visitors = [threading.Thread(target=visit, args=(k,)) for k in range(len(queries))]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    return replies


@pytest.mark.slow
def test_answers_are_the_same_alone_and_together(tmp_path: Path, exports: Exports) -> None:
    """Of networks and of exports, whatever else is asked at the same time."""
    models = (
        *make_models(tmp_path, ("classification", "detection")),
        exports.file("classifier"),
        exports.file("ssd"),
    )
    queries = [(f"model={k % len(models)}", photo(k % 3)) for k in range(24)]
    config = Serve(
        models=models,
        port=0,
        batching=BatchSpec(batch=4, batch_milliseconds=50),
        common=Common(device="cpu", threads=1),
    )
    service, _ = open_service(config)
    with serving(service):
        alone = [ask(service, *query)[1]["answers"] for query in queries]
        together = [reply["answers"] for reply in many(service, queries)]
        sizes = service._parts.metrics.batches
    for one, other in zip(alone, together, strict=True):
        compare(one, other)
    assert sizes._sum.get() == 2 * len(queries)


def compare(one: Any, other: Any) -> None:
    """Plain data, up to the rounding of sums in another order."""
    if isinstance(one, float):
        assert one == pytest.approx(other, abs=2e-3, rel=1e-3)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            compare(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for row, wanted in zip(one, other, strict=True):
            compare(row, wanted)
    else:
        assert one == other


@pytest.mark.slow
def test_only_models_that_can_are_given_batches(tmp_path: Path, exports: Exports) -> None:
    files = (
        *make_models(tmp_path, ("classification", "face_embedding")),
        exports.file("classifier"),
        exports.file("faces"),
        tmp_path / "single.onnx",
    )
    source = exports.source("classifier")
    write_onnx(source.graph(), source.card, source.facts(), files[-1], dynamic=False)
    shelf = Shelf(Serve(models=files, common=Common(device="cpu")))
    able = [shelf.open(number).together is not None for number in range(len(files))]
    assert able == [True, False, True, False, False]
