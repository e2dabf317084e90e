"""Owns the link to NATS JetStream (ADR-22 for acknowledgements, ADR-13 for pull consumers); `Link` says what each does.

It keeps no message: what was not confirmed is sent again by its caller, and the stream drops it by its `Nats-Msg-Id`.
Refuses to reconnect by itself: a connection that is lost ends, so that nothing is taken to be under way that is not.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamInfo
from nats.js.errors import APIError, NotFoundError

from workflow_router.core.message_broker.bridge_ports import Incoming, LinkDown, LinkRefused, Outgoing
from workflow_router.network.jetstream_checks import Server, judge_servers, judge_stream

CONNECT_S = 3.0
ACK_S = 5.0
LOOK_S = 3.0
# An election takes less than so many looks.
SILENT_LOOKS = 2
# A message that is larger than its stream takes; all else may get better by itself or by an operator.
_TOO_LARGE = 10_054
_SUBJECT = re.compile(r"[^\s.*>$][^\s.*>]*(\.[^\s.*>]+)*")


class JetStreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a stream of NATS.

    Attributes:
        servers: URLs, with user and password where there are some.
        stream: its name.
        durable: name of the consumer that receives; two routers with the same one share the messages.
        source: the subject that is received, with wildcards.
        subjects: of the stream, where it is to be created; none where it must be there.
        replicas: of a stream that is created.
        outage_s: the longest time for which NATS may be away without anything arriving twice there.
        synced: whether the servers are known to sync always, where they cannot be asked.
        system: URL with the credentials of the system account, by which the servers are asked.
        credentials: a file with a user's JWT and seed.
        ack_wait_s: after so long NATS sends again what a process that died had received.
        max_ack_pending: how many received messages may be unconfirmed.
    """

    servers: tuple[str, ...]
    stream: str
    durable: str
    source: str | None = None
    subjects: tuple[str, ...] = ()
    replicas: int = 1
    outage_s: float = 3_600.0
    synced: bool = False
    system: str | None = None
    credentials: Path | None = None
    ack_wait_s: float = 10.0
    max_ack_pending: int = 1_000


class _Pulled(Protocol):
    """A pull subscription of `nats-py`, as far as it is used here."""

    async def fetch(self, batch: int = 1, timeout: float | None = 5) -> list[Msg]: ...  # noqa: ASYNC109  it is theirs


class _Ack(msgspec.Struct):
    """What a stream answers to a message (`PubAck` of ADR-22)."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, object] | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class JetStream:
    """A link to one stream."""

    def __init__(self, options: JetStreamOptions) -> None:
        self._options = options
        self._nats: Client | None = None
        self._stream: JetStreamContext | None = None
        self._pulled: _Pulled | None = None
        self._origin = ""
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[asyncio.Future[bool], float]] = {}
        self._lost = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None
        self._edge = (0, 0)  # how many were under way when it was opened, and the last of them

    # --- open and close ---------------------------------------------------------------------------------------------

    async def open(self, *, receiving: bool) -> Sequence[str]:
        options, self._lost = self._options, asyncio.Event()
        try:
            async with asyncio.timeout(5 * CONNECT_S):
                self._nats = await self._connect(list(options.servers))
                self._stream = self._nats.jetstream(timeout=ACK_S)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
                info = await self._find_stream(self._stream)
                self._origin = f"{options.stream}@{info.created.isoformat() if info.created else ''}"
                if receiving:
                    await self._consume(self._stream)
                self._inbox = self._nats.new_inbox()
                await self._nats.subscribe(f"{self._inbox}.*", cb=self._acknowledged)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
                servers = None if options.system is None else await self._ask_servers(options.system)
        except (Error, OSError, TimeoutError, asyncio.CancelledError) as error:
            await self.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LinkDown(_said(error), remedy="The bridge tries again by itself.") from error
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep(), name="unconfirmed messages")
        return [*judge_servers(servers, synced=options.synced), *judge_stream(info, options.outage_s)]

    async def _connect(self, servers: list[str]) -> Client:
        async def lost() -> None:
            self._lost.set()

        async def quiet(_: Exception) -> None:
            """What fails is told by who asked for it."""

        return await nats.connect(  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
            servers,
            name="workflow-router",
            error_cb=quiet,
            disconnected_cb=lost,
            closed_cb=lost,
            connect_timeout=int(CONNECT_S),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            user_credentials=None if self._options.credentials is None else str(self._options.credentials),
        )

    async def _find_stream(self, stream: JetStreamContext) -> StreamInfo:
        options = self._options
        try:
            return await stream.stream_info(options.stream)
        except NotFoundError:
            if not options.subjects:
                raise
        return await stream.add_stream(  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
            name=options.stream,
            subjects=list(options.subjects),
            storage=StorageType.FILE,
            num_replicas=options.replicas,
            duplicate_window=options.outage_s,
        )

    async def _consume(self, stream: JetStreamContext) -> None:
        options = self._options
        info = await stream.add_consumer(  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
            options.stream,
            ConsumerConfig(
                durable_name=options.durable,
                filter_subject=options.source,
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=options.ack_wait_s,
                max_ack_pending=options.max_ack_pending,
            ),
        )
        delivered = 0 if info.delivered is None else info.delivered.stream_seq
        self._edge = (info.num_ack_pending or 0, delivered)
        bound = await stream.pull_subscribe_bind(durable=options.durable, stream=options.stream)
        self._pulled = cast("_Pulled", bound)

    async def _ask_servers(self, system: str) -> list[Server]:
        """What each server of the cluster says of itself, by the system account."""
        found: list[Server] = []
        client = await self._connect([system])
        try:
            inbox = client.new_inbox()
            answers = await client.subscribe(inbox)  # pyright: ignore[reportUnknownMemberType]  nats-py leaves its options untyped
            await client.publish("$SYS.REQ.SERVER.PING.VARZ", b"", reply=inbox)
            with contextlib.suppress(TimeoutError):
                while True:
                    answer = await answers.next_msg(timeout=0.3 if found else CONNECT_S)
                    found.append(Server.of(answer.data))
        finally:
            await client.close()
            self._lost.clear()
        return found

    async def broken(self) -> str:
        silent = 0
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._lost.wait()
            except TimeoutError:
                try:
                    await self._open_client.flush(timeout=int(LOOK_S))
                except (Error, OSError, TimeoutError):
                    break
                # A server that the network cut off from its cluster answers, but has no stream: another one may.
                silent = 0 if await self._leads() else silent + 1
                if silent == SILENT_LOOKS:
                    return "The NATS server has no leader for the stream; another one is tried."
        return "The connection to NATS was lost."

    async def _leads(self) -> bool:
        """Whether the stream answers through the server that we are connected to."""
        if self._stream is None:
            return False
        try:
            info = await self._stream.stream_info(self._options.stream)
        except (Error, OSError, TimeoutError):
            return False
        return info.cluster is None or bool(info.cluster.leader)

    async def close(self) -> None:
        client, self._nats, self._stream, self._pulled = self._nats, None, None, None
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(LinkDown("The connection to NATS was lost before it confirmed."))
                future.exception()  # nobody need be there to hear it
        if client is not None:
            with contextlib.suppress(Error, OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    await client.close()

    @property
    def _open_client(self) -> Client:
        if self._nats is None or self._lost.is_set():
            raise LinkDown("There is no connection to NATS.")
        return self._nats

    # --- send -------------------------------------------------------------------------------------------------------

    async def send(self, message: Outgoing) -> bool:
        if not _SUBJECT.fullmatch(message.place):
            raise LinkRefused(f"{message.place[:200]!r} is no subject that messages can be sent to.")
        client, loop = self._open_client, asyncio.get_running_loop()
        number = str(next(self._numbers))
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting[number] = future, loop.time() + ACK_S
        headers = {**message.headers, "Nats-Msg-Id": message.id, "Nats-Expected-Stream": self._options.stream}
        try:
            await client.publish(message.place, message.body, reply=f"{self._inbox}.{number}", headers=headers)
            return await future
        except MaxPayloadError as error:
            raise LinkRefused("The message is larger than the server's max_payload.") from error
        except (Error, OSError) as error:
            raise LinkDown(_said(error)) from error
        finally:
            self._waiting.pop(number, None)

    async def _acknowledged(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is None or waiting[0].done():
            return
        future = waiting[0]
        if not message.data:  # status 503: there is no leader, or no stream, that takes the subject
            future.set_exception(LinkDown("No stream takes the subject just now."))
            return
        try:
            ack = _decode_ack(message.data)
        except msgspec.DecodeError:
            future.set_exception(LinkDown("The answer of NATS cannot be read."))
            return
        if ack.error is None:
            future.set_result(not ack.duplicate)
            return
        text = str(ack.error.get("description", "The stream refuses the message."))
        refused = ack.error.get("err_code") == _TOO_LARGE
        future.set_exception(LinkRefused(text) if refused else LinkDown(text))

    async def _sweep(self) -> None:
        """Fail what was not confirmed in time: its server may be gone without a word."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ACK_S / 10)
            now = loop.time()
            for future, until in list(self._waiting.values()):
                if until > now:
                    break  # they are in the order in which they were sent
                if not future.done():
                    future.set_exception(LinkDown(f"NATS did not confirm within {ACK_S:g} s."))

    # --- receive ----------------------------------------------------------------------------------------------------

    async def receive(self, limit: int, *, wait_s: float) -> Sequence[Incoming]:
        pending, edge = self._edge
        if not pending:
            return [self._incoming(one) for one in await self._fetch(limit, wait_s)]
        # What another process had received comes again only when its time is over; what is new waits for it, so that
        # the order stays.
        self._edge = (0, 0)
        loop = asyncio.get_running_loop()
        until, found = loop.time() + 1.5 * self._options.ack_wait_s + 1.0, dict[int, Incoming]()
        while loop.time() < until and sum(position <= edge for position in found) < pending:
            for message in await self._fetch(limit, min(wait_s, self._options.ack_wait_s)):
                incoming = self._incoming(message)
                found[incoming.position] = incoming
        return [found[position] for position in sorted(found)]

    async def _fetch(self, limit: int, wait_s: float) -> list[Msg]:
        self._open_client  # noqa: B018  it raises where there is none
        if self._pulled is None:
            return []
        try:
            return await self._pulled.fetch(limit, timeout=wait_s)
        except TimeoutError:  # which nats-py raises for its own, too
            return []
        except APIError as error:
            raise LinkDown(_said(error)) from error
        except (Error, OSError) as error:
            raise LinkDown(_said(error)) from error

    def _incoming(self, message: Msg) -> Incoming:
        return Incoming(
            origin=self._origin,
            position=message.metadata.sequence.stream,
            place=message.subject,
            headers=message.headers or {},
            body=message.data,
            receipt=message,
        )

    async def confirm(self, messages: Sequence[Incoming]) -> None:
        client = self._open_client
        try:
            for one in messages:
                await client.publish(cast("Msg", one.receipt).reply, b"+ACK")
        except (Error, OSError) as error:
            raise LinkDown(_said(error)) from error

    async def settled(self) -> dict[str, int]:
        if self._stream is None:
            return {}
        try:
            info = await self._stream.consumer_info(self._options.stream, self._options.durable)
        except (Error, OSError, TimeoutError) as error:
            raise LinkDown(_said(error)) from error
        floor = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        return {self._origin: floor} if floor else {}


def _said(error: BaseException) -> str:
    """What happened, without the server's address, which may hold a password."""
    if isinstance(error, APIError):
        return f"NATS says: {error.description or type(error).__name__}."
    return f"NATS cannot be reached ({type(error).__name__})."
