"""Original images, for models that resize them themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets.images import Image
from datasets.types import PhotoBatch


class OriginalPhotos:
    """Batches of images in order; the next batch is read while one is used.

    Args:
        read: Function from an index to the image.
        image_ids: Id of each image for evaluators.
        batch_size: Number of images per batch.
    """

    def __init__(
        self, read: Callable[[int], Image], image_ids: Sequence[int], batch_size: int
    ) -> None:
        self.read, self.image_ids, self.batch_size = read, image_ids, batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.image_ids) // self.batch_size)

    def __iter__(self) -> Iterator[PhotoBatch]:
        """Yield batches. Raises InputError naming the file if an image cannot be read."""
        starts = range(0, len(self.image_ids), self.batch_size)
        spans = [range(k, min(k + self.batch_size, len(self.image_ids))) for k in starts]
        with ThreadPoolExecutor() as pool:
            coming = [pool.submit(self.read, k) for k in spans[0]] if spans else []
            for span, after in zip(spans, [*spans[1:], range(0)], strict=True):
                photos = [job.result() for job in coming]
                coming = [pool.submit(self.read, k) for k in after]
                yield {"images": photos, "image_ids": [int(self.image_ids[k]) for k in span]}

    def close(self) -> None:
        """Do nothing: nothing is left open. Loaders with their own processes end them here."""
