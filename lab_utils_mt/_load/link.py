"""What does one client of the load do, from its connection to its last reply?

A reply that is one short line, as most are, goes the short way in :meth:`Link._on_reply`; all that
is rare stands behind it.
"""

from __future__ import annotations

import os
import socket
import time

from .ledger import NANOSECONDS
from .sharing import Load
from .stream import MOST_REPLY, ReplyStream
from .verdict import CLOSED, TWICE, UNASKED, is_refusal, kind_of, refusal

_SIZE, _BIG_SIZE = 16 * 1024, 256 * 1024  # bytes read at a time; the latter of long replies
_TOO_LONG = f"a reply of more than {MOST_REPLY >> 20} MiB"
_PAUSE = NANOSECONDS // 10  # before a connection is tried again that gave no reply

_clock = time.perf_counter_ns


class Link:
    """One client.

    Args:
        load: What all share.
        number: Which one it is.
        first: When its first request is due, if requests have a schedule.
    """

    def __init__(self, load: Load, number: int, first: int) -> None:
        self._load, self.number = load, number
        self._due = self._started = self._sent = first
        self._socket: socket.socket | None = None
        self._stream: ReplyStream | None = None
        self._latency = load.ledger.latencies.append
        self._has_answered = self.is_busy = False
        self._unsent = b""

    # --- what the driver calls -------------------------------------------------------------------

    def wake(self) -> None:
        """Connect, or send what is due."""
        if self._socket is None:
            self._connect()
        else:
            self._begin(_clock())

    def check(self, now: int) -> None:
        """Fail if the server takes too long."""
        if self.is_busy and now - self._sent > self._load.timeout:
            handler = self._load.handlers[self._handle]
            what = "connection" if handler == self._on_connected else "reply"
            what = "greeting" if handler == self._on_greeting else what
            self._fail("timeout", f"no {what} within {self._load.plan.timeout:g} s")

    def give_up(self) -> None:
        """Count a request that has no reply when the load ends early."""
        if self.is_busy:
            waited = (_clock() - self._sent) / NANOSECONDS
            self._fail("unanswered", f"no reply for {waited:.1f} s when the load was ended")

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._load.poller.forget(self._handle)
            del self._load.handlers[self._handle]
            self._socket.close()
            self._socket = self._stream = None

    @property
    def missed(self) -> int:
        """How many of its requests were due in the measurement, and not sent."""
        load = self._load
        first = self._due + (load.interval if self.is_busy else 0)
        return load.due(first, load.end) - load.due(first, min(load.begin, load.end))

    # --- connecting ------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._sent = now = _clock()
        if self._load.plan.reconnect:
            self._started = self._due if self._load.interval else now
        self._busy(True)
        self._has_answered = False
        try:
            self._open()
        except OSError as error:
            self._fail(kind_of(error), str(error))

    def _open(self) -> None:
        address = self._load.address
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address.approach(sock)
        except OSError:
            sock.close()
            raise
        self._socket, self._handle = sock, sock.fileno()
        self._receive, self._send = sock.recv, sock.send
        self._load.handlers[self._handle] = self._on_connected
        self._load.poller.watch(self._handle, to_write=True)

    def _on_connected(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(kind_of(OSError(code, "")), os.strerror(code))
            return
        load = self._load
        load.poller.turn(self._handle)
        self._to_greet = load.plan.greeting
        load.handlers[self._handle] = self._on_reply if load.plan.terminated else self._read
        if self._to_greet:
            load.handlers[self._handle] = self._on_greeting
        else:
            self._ready()

    def _on_greeting(self) -> None:
        if not self._read():
            return
        stream = self._stream
        assert stream is not None
        while self._to_greet and (line := stream.next_reply()) is not None:
            self._to_greet -= 1
            if refused := refusal(line):
                self._fail(*refused)
                return
        if not self._to_greet:
            self._stream = None if stream.is_empty else stream
            self._load.handlers[self._handle] = self._on_reply
            self._ready()

    def _ready(self) -> None:
        """Send the first request of a connection, or wait until it is due."""
        now = _clock()
        if self._load.plan.reconnect:
            self._transmit(now)
        elif self._load.interval and self._due > now:
            self._busy(False)
            self._load.later(self._due, self)
        else:
            self._begin(now)

    # --- requests and replies --------------------------------------------------------------------

    def _begin(self, now: int) -> None:
        load = self._load
        if load.is_closing:
            self._busy(False)
            self.close()
            return
        self._started = self._due if load.interval else now
        self._busy(True)
        self._transmit(now)

    def _transmit(self, now: int) -> None:
        self._sent = now
        request = self._load.request
        try:
            count = self._send(request)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._fail(kind_of(error), str(error))
            return
        if count != len(request):
            self._unsent = request[count:]
            self._load.poller.forget(self._handle)
            self._load.poller.watch(self._handle, to_write=True)
            self._load.handlers[self._handle] = self._on_writable

    def _on_writable(self) -> None:
        try:
            count = self._send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(kind_of(error), str(error))
            return
        self._unsent = self._unsent[count:]
        if not self._unsent:
            load = self._load
            load.poller.turn(self._handle)
            load.handlers[self._handle] = self._on_reply if load.plan.terminated else self._read

    def _on_reply(self) -> None:
        load = self._load
        try:
            data = self._receive(_SIZE if self._stream is None else _BIG_SIZE)
        except OSError as error:
            self._receive_failed(error)
            return
        now = _clock()
        load.ledger.bytes_in += len(data)
        judge = load.judge
        if (
            self._stream is None
            and self.is_busy
            and data.find(b"\n") == len(data) - 1
            and data
            and not data.startswith(judge.strange)
            and data.startswith(judge.good)
            and (judge.suspect is None or judge.suspect not in data)
        ):
            self._count(now)
            self._has_answered = True
            self._go_on(now)
        else:
            self._take(data, now)

    def _count(self, now: int) -> None:
        load = self._load
        if self._started < load.begin or load.is_closing:
            load.ledger.take_odd(self._started, now)
        else:
            self._latency(now - self._started)

    def _go_on(self, now: int) -> None:
        """Go on after a reply."""
        load = self._load
        if load.plan.reconnect:
            self.close()
        if load.interval:
            self._due += load.interval
        elif not (load.is_closing or self._socket is None):
            self._started = now
            self._transmit(now)
            return
        self._go_on_later(now)

    def _go_on_later(self, now: int) -> None:
        load = self._load
        self._busy(False)
        if load.is_closing:
            self.close()
        elif load.interval and self._due > now:
            load.later(self._due, self)
        else:
            self.wake()

    def _busy(self, is_busy: bool) -> None:
        self._load.at_work += is_busy - self.is_busy
        self.is_busy = is_busy

    # --- replies that are not one short line -----------------------------------------------------

    def _read(self) -> bool:
        """Take what has come; return whether there was anything."""
        try:
            data = self._receive(_BIG_SIZE)
        except OSError as error:
            self._receive_failed(error)
            return False
        self._load.ledger.bytes_in += len(data)
        if not data:
            self._ended()
            return False
        stream = self._feed(data)
        if stream.is_too_long:
            self._fail("too long", _TOO_LONG)
        return not stream.is_too_long

    def _feed(self, data: bytes) -> ReplyStream:
        if self._stream is None:
            self._stream = ReplyStream(self._load.plan.skip_prefix)
        self._stream.receive_data(data)
        return self._stream

    def _receive_failed(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            return
        if self.is_busy:
            self._fail(kind_of(error), str(error))
        else:
            self.close()

    def _take(self, data: bytes, now: int) -> None:
        if not data:
            self._ended()
            return
        stream = self._feed(data)
        reply = stream.next_reply()
        if reply is None:
            if stream.is_too_long:
                self._reject("too long", _TOO_LONG)
            elif stream.is_empty:
                self._stream = None
        elif stream.has_surplus() and not self._load.plan.reconnect:
            self._reject("surplus", TWICE if self.is_busy else UNASKED)
        else:
            self._stream = None if stream.is_empty else stream
            self._judge(reply, now)

    def _reject(self, kind: str, example: str) -> None:
        if self.is_busy:
            self._fail(kind, example)
        else:
            self._load.ledger.fail(kind, example)
            self.close()  # it will connect again when it has something to send

    def _judge(self, reply: bytes, now: int) -> None:
        complaint = self._load.judge.complaint(reply)
        if not self.is_busy:
            if complaint is None or not is_refusal(complaint[0]):
                self._load.ledger.fail("surplus", UNASKED)
            self.close()
            return
        if complaint is None:
            self._count(now)
        elif is_refusal(complaint[0]):
            self._fail(*complaint)
            return
        else:
            self._load.ledger.fail(*complaint)
        self._has_answered = True
        self._go_on(now)

    def _ended(self) -> None:
        """See what the end of the stream means."""
        stream = self._stream
        if not self.is_busy:
            self.close()
        elif stream is None:
            self._fail(CLOSED, "the server closed the connection instead of replying")
        elif stream.is_cut_block or not self._load.plan.reconnect:
            self._fail("cut off", "the server closed the connection in the middle of a reply")
        else:
            self._stream = None
            self._judge(stream.raw, _clock())

    # --- what goes wrong -------------------------------------------------------------------------

    def _fail(self, kind: str, example: str) -> None:
        """Count a failed request; go on with a new connection."""
        load, now = self._load, _clock()
        load.ledger.fail(kind, example)
        self.close()
        self._busy(False)
        if load.interval:
            self._due += load.interval
        if not load.is_closing:
            pause = 0 if self._has_answered else _PAUSE
            load.later(max(now + pause, self._due), self)
