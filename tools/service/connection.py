"""One client's connection: uvicorn's, with limits on its time, its rate and its bytes.

uvicorn and h11 speak HTTP. What they leave open is decided here: how long a client may take to
send a request and to receive an answer, how many bytes wait in memory, what a malformed request
is answered, and that a client which is still sending sees the answer before the connection ends.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tools.flows.answerer import Refusal
from tools.service.crowd import Crowd, address_of
from tools.service.refusals import SAFE_HEADERS, crowded, refused

# Largest lengths of request line and headers, in bytes.
_LINE, HEAD = 2**16, 2**17
# Seconds over which the rates of sending and receiving are measured.
_WINDOW = 10.0
# States of the client in which a request has arrived completely.
_ARRIVED = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


class _Phase(Enum):
    """What is awaited from the client."""

    START = auto()  # the first byte
    HEAD = auto()
    BODY = auto()
    NOTHING = auto()


class Pace:
    """Watches that something is done within some seconds, and at some rate meanwhile.

    Args:
        count: Function that returns the number of bytes so far.
        late: Function that is called once if it is too slow.
    """

    def __init__(self, count: Callable[[], int], late: Callable[[], None]) -> None:
        self._count, self._late = count, late
        self._timer: asyncio.TimerHandle | None = None
        self._end, self._least, self._before = 0.0, 0, 0

    @property
    def is_on(self) -> bool:
        """Whether it watches now."""
        return self._timer is not None

    def start(self, seconds: float, least: int = 0) -> None:
        """Watch from now on.

        Args:
            seconds: Longest permitted time.
            least: Fewest permitted bytes in each window of time; 0 for no rate.
        """
        self.stop()
        self._end, self._least = asyncio.get_running_loop().time() + max(0.0, seconds), least
        self._wait()

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        loop, self._before = asyncio.get_running_loop(), self._count()
        end = min(self._end, loop.time() + _WINDOW) if self._least else self._end
        self._timer = loop.call_at(end, self._check)

    def _check(self) -> None:
        self._timer = None
        slow = self._count() - self._before < self._least
        if slow or asyncio.get_running_loop().time() >= self._end:
            self._late()
        else:
            self._wait()


class _Outlet:
    """A transport whose :meth:`close` lets the client finish sending."""

    def __init__(self, inner: Any, owner: LimitedConnection) -> None:
        self._inner, self._owner = inner, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Send data."""
        self._inner.write(data)
        self._owner.has_sent(len(data))

    def close(self) -> None:
        """End the connection once the client has sent everything."""
        self._owner.finish()

    def is_closing(self) -> bool:
        """Whether it is being closed."""
        return self._owner.is_draining or bool(self._inner.is_closing())


class LimitedConnection(H11Protocol):
    """A connection within limits.

    Args:
        crowd: All connections of the server.
        given: What uvicorn gives each connection.

    Attributes:
        address: Whom limits apply to.
        began: Start of the connection or of the wait for another request.
        is_draining: Whether all that is still received is thrown away.
    """

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self._crowd, self._limits = crowd, crowd.limits
        self.address, self.began, self.is_draining = "", time.monotonic(), False
        self._piece = max(1, int(1000 * self._limits.kilobytes_per_second * _WINDOW))
        self._received = self._sent = self._held = self._drained = self._line = 0
        self._has_line = self._has_ended = False
        self._phase = _Phase.START
        self._arriving = Pace(lambda: self._received, self._receives_late)
        self._leaving = Pace(lambda: self._sent - self._unsent, self._sends_late)

    @property
    def awaited(self) -> bool:
        """Whether the client still has to send something."""
        return self.is_draining or self.conn.their_state not in _ARRIVED

    @property
    def _unsent(self) -> int:
        return int(self._raw.get_write_buffer_size())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse one connection too many."""
        self._raw: Any = transport
        # asyncio sets it only on sockets whose protocol was named; without it, an answer in two
        # parts waits for the client's acknowledgement of the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(_Outlet(transport, self))  # type: ignore[arg-type]
        self.address = address_of(self.client[0] if self.client else "0.0.0.0")
        fits = self._crowd.admit(self)
        self._arriving.start(self._limits.read_seconds)
        if not fits:  # At once: connections that wait for the end of an answer would be no fewer.
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what it held."""
        self._arriving.stop()
        self._leaving.stop()
        self._give_back()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the parser within limits."""
        self._received += len(data)
        if self.is_draining:
            self._drained += len(data)
            if self._drained > 4 * self._limits.bytes:
                self._raw.close()
            return
        if self.conn.their_state in (h11.MUST_CLOSE, h11.CLOSED):
            return  # It has promised to send nothing more.
        try:
            self._count_line(data)
            self._crowd.flight.take(self.address, len(data))
        except Refusal as error:
            self._refuse(error)
            return
        self._held += len(data)
        super().data_received(data)
        self._watch()

    def _count_line(self, data: bytes) -> None:
        """Check the length of the first line. Raises Refusal if it is too long."""
        if self._has_line or self.conn.their_state is not h11.IDLE:
            return
        end = data.find(b"\n")
        self._has_line = end >= 0
        self._line += end if end >= 0 else len(data)
        if self._line > _LINE:
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")

    def _watch(self) -> None:
        """Set the clock for what the client has to send next."""
        if self.is_draining or self._raw.is_closing():
            return
        state, phase = self.conn.their_state, _Phase.NOTHING
        if state is h11.SEND_BODY:
            phase = _Phase.BODY
        elif state is h11.IDLE and self._held:
            phase = _Phase.HEAD
        if phase is self._phase:
            return
        self._phase = phase
        left = self.began + self._limits.read_seconds - time.monotonic()
        if phase is _Phase.HEAD:
            self._arriving.start(min(self._limits.head_seconds, left))
        elif phase is _Phase.BODY:
            self._arriving.start(left, self._piece)
        else:  # An answer is computed, or uvicorn closes the connection if it stays idle.
            self._arriving.stop()

    def _receives_late(self) -> None:
        if self.is_draining:
            self._raw.abort()
        elif self._phase is _Phase.START:  # It never said anything.
            self._raw.close()
        elif self._phase is _Phase.BODY:
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "the image came too slowly"))
        else:
            text = f"the headers did not come within {self._limits.head_seconds:g} s"
            self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, text))

    def has_sent(self, number: int) -> None:
        """Note that bytes were sent; those that wait must leave at some rate."""
        self._sent += number
        if not self._leaving.is_on and self._unsent:
            self._leaving.start(self._limits.read_seconds, self._piece)

    def _sends_late(self) -> None:
        if self._unsent:
            self._raw.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more; whether it can still be answered."""
        self._has_ended = True
        if self.is_draining or self._raw.is_closing():
            self._raw.close()
            return False
        if self.conn.their_state in _ARRIVED and self.cycle is not None:
            self.cycle.keep_alive = False
            return True
        if not self._held:
            return False
        self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "the request did not arrive in whole"))
        return True

    def on_response_complete(self) -> None:
        """Give back the bytes of the request, and wait for the next."""
        self._give_back()
        self._line, self._has_line = 0, False
        self.began = time.monotonic()
        rest = len(self.conn.trailing_data[0])  # Of a request that came with this one.
        try:
            self._crowd.flight.take(self.address, rest)
        except Refusal:
            self._raw.close()
            return
        self._held = rest
        super().on_response_complete()
        self._watch()

    def _give_back(self) -> None:
        """Stop counting the received bytes: the images of this request are gone."""
        self._crowd.flight.give_back(self.address, self._held)
        self._held = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what h11 cannot read."""
        if len(self.conn.trailing_data[0]) > HEAD:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(Refusal(status, "the headers are too many"))
        else:
            self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1"))

    def _refuse(self, error: Refusal) -> None:
        """Answer in place of the application, and end."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self._raw.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._crowd.refused(error.status)
        headers, content = refused(error)
        headers = [*self.server_state.default_headers, *SAFE_HEADERS, *headers]
        reason = HTTPStatus(error.status).phrase.encode()
        try:
            for event in (
                h11.Response(status_code=error.status, headers=headers, reason=reason),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # It was answered before.
            self._raw.abort()
            return
        self.finish()

    def hang_up(self) -> None:
        """Refuse and close, because the place is needed at once."""
        self._has_ended = True
        self._refuse(crowded())

    def finish(self) -> None:
        """Close, once the client has seen the answer and ended its side.

        Who is still sending would otherwise find a broken connection in place of the answer.
        """
        self._give_back()
        if self.is_draining or self._raw.is_closing():
            return
        if self._has_ended:
            self._raw.close()
            return
        self.is_draining = True
        self._raw.write_eof()
        self._raw.resume_reading()
        self._arriving.start(self._limits.read_seconds, self._piece)

    def shutdown(self) -> None:
        """End with the server: an answer that is computed is waited for, a client is not."""
        if self.awaited or self.cycle is None or self.cycle.response_complete:
            self._raw.close()
        else:
            self.cycle.keep_alive = False
