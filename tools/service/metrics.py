"""Counts of what the service does, in the form that Prometheus reads."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

METRICS_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one service.

    Attributes:
        requests: Responses by path and status; paths that do not exist are counted as ``other``,
            and requests that are refused before they have arrived as ``connection``.
        seconds: Time from a request's headers to its response, by path.
        batches: Number of images that were computed together.
        connections: Open connections.
        bytes: Bytes of requests that are not answered yet.
        working: Requests that are computed or wait for it.
    """

    def __init__(self) -> None:
        self._registry = every = CollectorRegistry()
        self.requests = Counter(
            "mobilenets_requests", "Responses", ("path", "status"), registry=every
        )
        self.seconds = Histogram(
            "mobilenets_request_seconds",
            "Seconds from the headers of a request to its response",
            ("path",),
            registry=every,
            buckets=_SECONDS,
        )
        self.batches = Histogram(
            "mobilenets_batch_images",
            "Images that were computed together",
            registry=every,
            buckets=_IMAGES,
        )
        self.connections = Gauge("mobilenets_connections", "Open connections", registry=every)
        self.bytes = Gauge(
            "mobilenets_bytes_in_flight", "Bytes of unanswered requests", registry=every
        )
        self.working = Gauge(
            "mobilenets_requests_in_progress", "Requests computed or waiting", registry=every
        )

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
