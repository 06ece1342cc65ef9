"""One HTTP/1.1 exchange with an origin, with the request target byte for byte as given and everything streamed.

h11 keeps the state of the protocol and reads the answer. It would refuse to *write* a target with non-ASCII bytes, which
CloudFront forwards, so the request line is written here. Each exchange has a connection of its own, so that no request
can read another's answer; a loopback connection costs next to nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h11

from .forwarding import Header

_READ_BYTES = 64 * 1024
_PLACEHOLDER = b"/"


class OriginError(Exception):
    """The origin gave no usable answer.

    Attributes:
        status: What CloudFront answers then: 502, or 504 for a timeout.
    """

    status = 502


class OriginTimeoutError(OriginError):
    """The origin took too long to accept a connection or to send the next bytes."""

    status = 504


@dataclass(frozen=True, slots=True)
class OriginResponse:
    """Status and headers of the origin's answer; names lower-case, order and repeats kept."""

    status: int
    headers: tuple[Header, ...] = field(repr=False)


class OriginExchange:
    """A connection from its opening to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read_timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._read_timeout_s = read_timeout_s
        self._connection = h11.Connection(h11.CLIENT)

    @classmethod
    async def open(
        cls, host: str, port: int, *, connect_timeout_s: float, attempts: int, read_timeout_s: float
    ) -> Self:
        """Connect.

        Args:
            host: Loopback address.
            port: Its port.
            connect_timeout_s: Seconds each attempt may take.
            attempts: How often to try.
            read_timeout_s: Seconds to wait for each packet of the answer.

        Raises:
            OriginError: Nothing listens there.
            OriginTimeoutError: No connection in time.
        """
        error: OriginError = OriginError("no attempt was made")
        for _ in range(attempts):
            try:
                async with asyncio.timeout(connect_timeout_s):
                    reader, writer = await asyncio.open_connection(host, port)
                return cls(reader, writer, read_timeout_s)
            except TimeoutError:
                error = OriginTimeoutError(f"{host}:{port} accepted no connection within {connect_timeout_s} s")
            except OSError as cause:
                error = OriginError(f"cannot connect to {host}:{port}: {cause.strerror or cause}")
        raise error

    async def send_head(self, method: str, target: bytes, headers: Sequence[Header]) -> None:
        """Send request line and headers.

        Raises:
            OriginError: The headers cannot be written as HTTP/1.1.
        """
        try:
            head = self._connection.send(h11.Request(method=method, target=_PLACEHOLDER, headers=list(headers)))
        except h11.LocalProtocolError as error:
            raise OriginError(f"the request cannot be written as HTTP/1.1: {error}") from error
        _, _, after_request_line = head.partition(b"\r\n")
        self._writer.write(method.encode() + b" " + target + b" HTTP/1.1\r\n" + after_request_line)

    async def send_body(self, chunks: AsyncIterator[bytes]) -> None:
        """Send the body as it comes; an origin that has answered already need not take all of it."""
        # What h11 says of a length that does not fit, and a connection that the origin closed, show in the answer.
        with contextlib.suppress(ConnectionError, h11.LocalProtocolError):
            async for chunk in chunks:
                self._writer.write(self._connection.send(h11.Data(data=chunk)))
                await self._writer.drain()
            self._writer.write(self._connection.send(h11.EndOfMessage()))
            await self._writer.drain()

    async def response(self) -> OriginResponse:
        """Read status and headers, past 1xx answers.

        Raises:
            OriginError: The connection ended, or what came is not HTTP.
            OriginTimeoutError: Nothing came in time.
        """
        while not isinstance(event := await self._next_event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise OriginError("the origin closed the connection without an answer")
        return OriginResponse(event.status_code, tuple(event.headers))

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes; errors as in ``response``."""
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def _next_event(self) -> object:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(self._read_timeout_s):
                    self._connection.receive_data(await self._reader.read(_READ_BYTES))
        except TimeoutError:
            message = f"nothing came from the origin for {self._read_timeout_s} s"
            raise OriginTimeoutError(message) from None
        except ConnectionError as error:
            raise OriginError(f"the origin closed the connection: {error.strerror or error}") from error
        except h11.RemoteProtocolError as error:
            raise OriginError(f"the origin's answer is not HTTP/1.1: {error}") from error
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._writer.wait_closed()
