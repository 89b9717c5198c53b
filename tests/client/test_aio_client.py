"""The asyncio client: the blocking client's rules, with many requests on one connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fake_server import FakeCluster, FakeServer, Hangup, free_port

from walrus.client import NotConnected, OutcomeUnknown, Record, ServerError, TimedOut
from walrus.client.aio import AsyncWalrusClient


def run(addresses: list[str], story: Callable[[AsyncWalrusClient], Awaitable[None]], timeout_s: float = 10.0) -> None:
    async def whole() -> None:
        async with AsyncWalrusClient(addresses, timeout_s) as client:
            await story(client)

    asyncio.run(whole())


def hangs_up(frame: bytes) -> bytes | None:
    raise Hangup


def test_every_method_speaks_to_a_cluster() -> None:
    async def story(client: AsyncWalrusClient) -> None:
        await client.register("t")
        assert await client.get("t") is None
        await client.put("t", b"\x00\n")
        assert await client.get("t") == b"\x00\n"
        assert await client.fetch("t", 1, 0) == Record(1, b"\x00\n")
        assert (await client.state("t"))["current_segment"] == 1
        assert (await client.metrics())["current_leader"] == 1
        assert await client.topics() == ["t"]
        with pytest.raises(ServerError, match="unknown topic nope"):
            await client.put("nope", b"")

    with FakeServer(FakeCluster()) as server:
        run([f"127.0.0.1:{free_port()}", server.address], story)
        assert len(server.connections) == 1


def test_concurrent_requests_are_pipelined_in_order_on_one_connection() -> None:
    cluster = FakeCluster()

    async def story(client: AsyncWalrusClient) -> None:
        await client.register("t")
        await asyncio.gather(*(client.put("t", b"%d" % number) for number in range(300)))

    with FakeServer(cluster) as server:
        run([server.address], story)
        assert cluster.topics["t"] == [b"%d" % number for number in range(300)]
        assert len(server.connections) == 1


def test_a_broken_connection_leaves_a_put_unknown_and_repeats_what_may_be() -> None:
    async def story(client: AsyncWalrusClient) -> None:
        with pytest.raises(OutcomeUnknown, match=r"PUT t: connection to .* lost"):
            await client.put("t", b"x")
        assert await client.topics() == []

    with FakeServer(hangs_up) as first, FakeServer(FakeCluster()) as second:
        run([first.address, second.address], story)
        assert first.received == [b"PUT t x"]
        assert second.received == [b"TOPICS"]


def test_silence_is_a_timeout_and_the_next_request_goes_elsewhere() -> None:
    async def story(client: AsyncWalrusClient) -> None:
        with pytest.raises(TimedOut, match="METRICS: no reply"):
            await client.metrics()
        client._timeout_s = 10.0  # an answer there is may take its time on a busy machine
        assert await client.topics() == []

    with FakeServer(lambda frame: None) as first, FakeServer(FakeCluster()) as second:
        run([first.address, second.address], story, timeout_s=0.3)


def test_silence_leaves_a_put_unknown() -> None:
    async def story(client: AsyncWalrusClient) -> None:
        with pytest.raises(OutcomeUnknown, match="PUT t: no reply"):
            await client.put("t", b"x")

    with FakeServer(lambda frame: None) as server:
        run([server.address], story, timeout_s=0.3)


def test_no_address_at_all_is_an_error_that_names_them() -> None:
    async def story(client: AsyncWalrusClient) -> None:
        with pytest.raises(NotConnected, match=address):
            await client.topics()

    address = f"127.0.0.1:{free_port()}"
    run([address], story)
