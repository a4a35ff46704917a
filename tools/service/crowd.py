"""All connections of the service and the bytes they hold, limited in total and per address."""

from __future__ import annotations

import ipaddress
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Protocol

from configs.serve import LimitSpec
from tools.flows.answerer import Refusal
from tools.service.refusals import BUSY

try:
    import resource
except ImportError:  # Not on every system.
    resource = None  # type: ignore[assignment]

# Number of open connections, and of files for everything else.
_CONNECTIONS, _OTHER_FILES = 4096, 128
_BACKLOG = 1024
# If there are too many, a connection that has sent no complete request for this many seconds is
# closed.
_STALE = 2.0


class Flight:
    """Bytes of requests that are not answered yet, limited in total and per address.

    Args:
        largest: Bytes of the largest request.
    """

    def __init__(self, largest: int) -> None:
        self._most, self._most_of_one = 4 * largest, 2 * largest
        self._held: Counter[str] = Counter()

    def take(self, address: str, number: int) -> None:
        """Count bytes. Raises Refusal if there would be too many."""
        one, every = self._held[address] + number, self.total + number
        if one > self._most_of_one or every > self._most:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
        self._held[address] = one

    @property
    def total(self) -> int:
        """Number of bytes that are counted now."""
        return self._held.total()

    def give_back(self, address: str, number: int) -> None:
        """Stop counting bytes."""
        self._held -= Counter({address: number})


class Member(Protocol):
    """A connection, as far as others are concerned.

    Attributes:
        address: Whom limits apply to.
        began: Start of its wait, by the monotonic clock, in seconds.
        awaited: Whether the client still has to send something.
    """

    address: str
    began: float

    @property
    def awaited(self) -> bool: ...  # noqa: D102

    def hang_up(self) -> None:
        """Close it, because its place is needed at once."""


class Crowd:
    """All connections.

    Args:
        limits: Limits of the service.

    Attributes:
        limits: The same.
        flight: Counter of the bytes that arrive.
        total: Number of connections.
        backlog: Number of connections that may wait to be accepted.
        refused: Function that is called with the status of each connection's refusal.
    """

    def __init__(self, limits: LimitSpec) -> None:
        self.limits, self.flight, self.total = limits, Flight(limits.bytes), 0
        self.refused: Callable[[int], None] = lambda _: None
        self._most = _most_connections()
        # Connections that are accepted at once, before any can be refused, take files too.
        self.backlog = max(16, min(_BACKLOG, self._most // 4))
        self._members: dict[str, set[Member]] = {}

    def admit(self, member: Member) -> bool:
        """Add a connection; False if there are too many, and none can be closed for it."""
        group = self._members.setdefault(member.address, set())
        fits = True
        if len(group) >= self.limits.connections:
            fits = self._hang_up(group)
        elif self.total >= self._most:
            fits = self._hang_up(max(self._members.values(), key=len))
        group.add(member)
        self.total += 1
        return fits

    def leave(self, member: Member) -> None:
        """Forget a connection that has ended."""
        group = self._members[member.address]
        group.discard(member)
        self.total -= 1
        if not group:
            del self._members[member.address]

    def _hang_up(self, group: set[Member]) -> bool:
        """Close the connection of a group that has been awaited longest."""
        awaited = [one for one in group if one.awaited]
        oldest = min(awaited, key=lambda one: one.began, default=None)
        if oldest is None or time.monotonic() - oldest.began < _STALE:
            return False
        oldest.hang_up()
        return True


def address_of(host: str) -> str:
    """Whom limits apply to: an address, or for IPv6 the network of the client."""
    found = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return host


def _most_connections() -> int:
    """Number of connections for which this process's file limit is enough."""
    if resource is None:
        return 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if sys.platform == "darwin" or soft == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(16, min(_CONNECTIONS, soft - _OTHER_FILES))
