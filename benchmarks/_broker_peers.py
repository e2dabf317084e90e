"""Owns the peers of the broker benchmark. `python -m benchmarks._broker_peers KIND STORE SIZES [SERVER…]`."""
# pyright: basic, reportMissingImports=false
# Peers are installed by hand, into an environment of their own, so a type checker may not find them.

import asyncio
import contextlib
import sys

import uvloop

from benchmarks import _broker_work as work


@contextlib.asynccontextmanager
async def jetstream(kind, store, servers):
    """NATS JetStream by `nats-py`: a file stream, a durable pull consumer with explicit acknowledgements."""
    import nats
    from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

    client = await nats.connect(store)
    js = client.jetstream(publish_async_max_pending=work.IN_FLIGHT * 2)
    await js.add_stream(StreamConfig(name="bench", subjects=["bench", "prompt"], storage=StorageType.FILE))
    consumer = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=20_000, filter_subject="bench")
    puller = await js.pull_subscribe("bench", durable="bench", config=consumer)

    async def publish(count):
        pending = []
        for _ in range(count):
            pending.append(await js.publish_async("bench", work.BODY))
            if len(pending) >= work.IN_FLIGHT:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)

    async def consume(count, handle):
        left = count
        while left:
            taken = await puller.fetch(min(work.BATCH, left), timeout=5)
            for message in taken:
                await handle(message.data)
            if kind == "jetstream_confirmed":  # as durable as the others' acknowledgements
                await asyncio.gather(*[message.ack_sync() for message in taken])
            else:
                for message in taken:
                    await message.ack()
            left -= len(taken)

    @contextlib.asynccontextmanager
    async def listen(handle):
        async def called(message):
            await handle(message.data)
            await message.ack()

        subscription = await js.subscribe("prompt", durable="prompt", cb=called, manual_ack=True)
        yield
        await subscription.unsubscribe()

    yield work.Engine(publish, consume, None, lambda body: js.publish("prompt", body), listen, servers)
    await client.close()


@contextlib.asynccontextmanager
async def valkey(kind, store, servers):
    """Valkey streams with a consumer group, by `valkey`; appendfsync always."""
    from valkey import asyncio as client

    async with client.Valkey(host="127.0.0.1", port=int(store)) as db:
        for name in ("bench", "prompt"):
            await db.xgroup_create(name, "group", id="0", mkstream=True)

        async def publish(count):
            for size in (work.IN_FLIGHT,) * (count // work.IN_FLIGHT) + (count % work.IN_FLIGHT,):
                async with db.pipeline(transaction=False) as pipe:
                    for _ in range(size):
                        pipe.xadd("bench", {"b": work.BODY})
                    await pipe.execute()

        async def consume(count, handle):
            left = count
            while left:
                ((_, taken),) = await db.xreadgroup("group", "c", {"bench": ">"}, count=min(work.BATCH, left))
                for _, fields in taken:
                    await handle(fields[b"b"])
                await db.xack("bench", "group", *[key for key, _ in taken])
                left -= len(taken)

        @contextlib.asynccontextmanager
        async def listen(handle):
            async def forever():
                async with client.Valkey(host="127.0.0.1", port=int(store)) as reader:
                    while True:
                        for _, taken in await reader.xreadgroup("group", "c", {"prompt": ">"}, count=10, block=1_000):
                            for key, fields in taken:
                                await handle(fields[b"b"])
                                await reader.xack("prompt", "group", key)

            task = asyncio.create_task(forever())
            yield
            task.cancel()

        yield work.Engine(publish, consume, None, lambda body: db.xadd("prompt", {"b": body}), listen, servers)


@contextlib.asynccontextmanager
async def rabbitmq(kind, store, servers):
    """A RabbitMQ quorum queue, which syncs before it confirms, by `aio-pika` with publisher confirms."""
    import aio_pika

    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{store}/")
    channel = await connection.channel(publisher_confirms=True)
    await channel.set_qos(prefetch_count=work.BATCH)
    quorum = {"x-queue-type": "quorum"}
    bench = await channel.declare_queue("bench", durable=True, arguments=quorum)
    prompt = await channel.declare_queue("prompt", durable=True, arguments=quorum)

    async def send(body, queue="prompt"):
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue)

    async def publish(count):
        await work.many_at_once(count, lambda: send(work.BODY, "bench"))

    async def push(count, handle):
        arrived, done = 0, asyncio.Event()

        async def called(message):
            nonlocal arrived
            await handle(message.body)
            await message.ack()
            arrived += 1
            if arrived == count:
                done.set()

        tag = await bench.consume(called)
        await done.wait()
        await bench.cancel(tag)

    @contextlib.asynccontextmanager
    async def listen(handle):
        async def called(message):
            await handle(message.body)
            await message.ack()

        tag = await prompt.consume(called)
        yield
        await prompt.cancel(tag)

    yield work.Engine(publish, None, push, send, listen, servers)
    await connection.close()


@contextlib.asynccontextmanager
async def raw_postgres(kind, store, servers):
    """What the SQL itself allows: unnest to publish, DELETE … SKIP LOCKED to take, 500 a transaction."""
    import asyncpg

    db = await asyncpg.connect(store)
    await db.execute("CREATE TABLE bench (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)")
    body = work.BODY.decode()

    async def publish(count):
        for size in work.batches(count):
            await db.execute("INSERT INTO bench (body) SELECT * FROM unnest($1::text[])", [body] * size)

    async def consume(count, handle):
        left = count
        while left:
            async with db.transaction():
                taken = await db.fetch(
                    "DELETE FROM bench WHERE id IN (SELECT id FROM bench ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)"
                    " RETURNING body",
                    min(work.BATCH, left),
                )
                for (text,) in taken:
                    await handle(text.encode())
            left -= len(taken)

    yield work.Engine(publish, consume, servers=servers)
    await db.close()


@contextlib.asynccontextmanager
async def procrastinate(kind, store, servers):
    """procrastinate: jobs deferred 500 at a time, a worker with 64 at once."""
    import procrastinate as library

    app = library.App(connector=library.PsycopgConnector(conninfo=store))
    handler = []

    @app.task(name="bench")
    async def bench(body):
        await handler[0](body.encode())

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        text = work.BODY.decode()

        async def publish(count):
            for size in work.batches(count):
                await bench.batch_defer_async(*[{"body": text}] * size)

        async def push(count, handle):
            handler[:] = [handle]
            await app.run_worker_async(concurrency=64, wait=False, install_signal_handlers=False)

        yield work.Engine(publish, None, push, servers=servers)


@contextlib.asynccontextmanager
async def pgqueuer(kind, store, servers):
    """PgQueuer: 500 jobs at a time both ways, until the queue is drained."""
    import asyncpg
    from pgqueuer import AsyncpgDriver, PgQueuer, Queries
    from pgqueuer.types import QueueExecutionMode

    db = await asyncpg.connect(store)
    queries = Queries(AsyncpgDriver(db))
    await queries.install()

    async def publish(count):
        for size in work.batches(count):
            await queries.enqueue(["bench"] * size, [work.BODY] * size, [0] * size)

    async def push(count, handle):
        other = await asyncpg.connect(store)
        queue = PgQueuer(AsyncpgDriver(other))

        @queue.entrypoint("bench")
        async def bench(job):
            await handle(job.payload)

        await queue.run(batch_size=work.BATCH, mode=QueueExecutionMode.drain)
        await other.close()

    yield work.Engine(publish, None, push, servers=servers)
    await db.close()


@contextlib.asynccontextmanager
async def litequeue(kind, store, servers):
    """litequeue on SQLite, told to sync at each commit; it knows no batches."""
    from litequeue import LiteQueue

    queue = LiteQueue(store)
    queue.conn.execute("PRAGMA synchronous = FULL")

    async def publish(count):
        for _ in range(count):
            queue.put(work.BODY.decode())

    async def consume(count, handle):
        for _ in range(count):
            message = queue.pop() if hasattr(queue, "pop") else queue.get()
            await handle(message.data.encode())
            queue.done(message.message_id)

    yield work.Engine(publish, consume, servers=servers)
    queue.close()


KINDS = {
    "jetstream": jetstream,
    "jetstream_confirmed": jetstream,
    "valkey": valkey,
    "rabbitmq": rabbitmq,
    "raw_postgres": raw_postgres,
    "procrastinate": procrastinate,
    "pgqueuer": pgqueuer,
    "litequeue": litequeue,
}

if __name__ == "__main__":
    name, address, how_much, *pids = sys.argv[1:]
    uvloop.run(work.run(KINDS[name], name, address, how_much, pids))
