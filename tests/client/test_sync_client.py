"""The blocking client over real sockets: failover, and never a second PUT that nobody asked for."""

import socket
from itertools import count

import pytest
from fake_server import FakeCluster, FakeServer, Hangup, free_port

from walrus.client import (
    NotConnected,
    OutcomeUnknown,
    PutManyFailed,
    Record,
    ServerError,
    TimedOut,
    WalrusClient,
    calls,
)


def silent(frame: bytes) -> bytes | None:
    return None


def hangs_up(frame: bytes) -> bytes | None:
    raise Hangup


def test_every_method_speaks_to_a_cluster() -> None:
    with FakeServer(FakeCluster()) as server, WalrusClient([server.address]) as client:
        client.register("t")
        assert client.get("t") is None
        client.put("t", b"\x00 first\n")
        assert client.put_many("t", [b"second", b""]) == 2
        assert client.get("t") == b"\x00 first\n"
        assert client.fetch("t", 1, 2) == Record(3, b"")
        assert client.fetch("t", 1, 3) is None
        assert client.state("t")["segment_leaders"] == {"1": 1}
        assert client.metrics()["state"] == "Leader"
        assert client.topics() == ["t"]
        assert len(server.connections) == 1


def test_a_refusal_is_an_error_and_the_connection_goes_on() -> None:
    with FakeServer(FakeCluster()) as server, WalrusClient([server.address]) as client:
        with pytest.raises(ServerError, match="unknown topic nope"):
            client.put("nope", b"x")
        client.register("nope")
        assert len(server.connections) == 1


def test_an_address_that_refuses_is_passed_over() -> None:
    with (
        FakeServer(FakeCluster()) as server,
        WalrusClient([f"127.0.0.1:{free_port()}", server.address]) as client,
    ):
        client.register("t")
        assert client.address == server.address


def test_no_address_at_all_is_an_error_that_names_them() -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with WalrusClient(addresses) as client, pytest.raises(NotConnected) as caught:
        client.metrics()
    assert all(f"{address}: Connection refused" in str(caught.value) for address in addresses)


@pytest.mark.parametrize("verb", ["put", "get"])
def test_a_put_or_get_under_a_broken_connection_is_unknown_and_not_repeated(verb: str) -> None:
    with (
        FakeServer(hangs_up) as first,
        FakeServer(FakeCluster()) as second,
        WalrusClient([first.address, second.address]) as client,
    ):
        with pytest.raises(OutcomeUnknown, match=f"{verb.upper()} t: connection to {first.address} lost"):
            client.put("t", b"x") if verb == "put" else client.get("t")
        assert len(first.received) == 1
        assert second.received == []
        client.register("t")
        assert second.received == [b"REGISTER t"], "the next request goes elsewhere"


def test_a_request_that_changes_nothing_moves_on_to_the_next_address() -> None:
    with (
        FakeServer(hangs_up) as first,
        FakeServer(FakeCluster()) as second,
        WalrusClient([first.address, second.address]) as client,
    ):
        assert client.topics() == []
        assert client.address == second.address


def test_a_request_that_breaks_every_connection_ends() -> None:
    with FakeServer(hangs_up) as server, WalrusClient([server.address]) as client:
        with pytest.raises(NotConnected, match="lost: closed by the node"):
            client.topics()
        assert len(server.received) == 2


def test_a_node_that_restarted_between_two_puts_makes_neither_unknown() -> None:
    with FakeServer(FakeCluster()) as server, WalrusClient([server.address]) as client:
        client.register("t")
        server.hang_up()
        # The end of the stream reaches this side in its own time; what is asked of the kernel is when it has.
        assert client._socket is not None
        client._socket.settimeout(10)
        assert client._socket.recv(1, socket.MSG_PEEK) == b""
        client.put("t", b"x")
        assert client.get("t") == b"x"


def test_silence_is_a_timeout_for_what_may_be_repeated_and_unknown_for_a_put() -> None:
    with FakeServer(silent) as server, WalrusClient([server.address], timeout_s=0.3) as client:
        with pytest.raises(TimedOut, match=r"METRICS: no reply from 127\.0\.0\.1:\d+ within 0\.3 s"):
            client.metrics()
        with pytest.raises(OutcomeUnknown, match="PUT t: no reply"):
            client.put("t", b"x")
        server.behaviour = FakeCluster()
        client._timeout_s = 10.0  # an answer there is may take its time on a busy machine
        client.register("t")


def test_a_late_reply_is_not_taken_for_that_of_the_next_request() -> None:
    answers = count()

    def slow_at_first(frame: bytes) -> bytes | None:
        return None if next(answers) == 0 else b'["right"]'

    with FakeServer(slow_at_first) as server, WalrusClient([server.address], timeout_s=0.3) as client:
        with pytest.raises(TimedOut):
            client.metrics()
        client._timeout_s = 10.0
        assert client.topics() == ["right"]
        assert len(server.received) == 2


def test_another_kind_of_server_is_named_as_such() -> None:
    with FakeServer(silent) as server, WalrusClient([server.address]) as client:
        server.greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
        with pytest.raises(NotConnected, match="not a Walrus node"):
            client.metrics()


def test_put_many_keeps_the_order_beyond_one_window() -> None:
    cluster = FakeCluster()
    with FakeServer(cluster) as server, WalrusClient([server.address]) as client:
        client.register("t")
        payloads = [b"%d" % number for number in range(2000)]
        assert client.put_many("t", payloads) == 2000
        assert cluster.topics["t"] == payloads


def test_put_many_of_records_larger_than_the_window_goes_through() -> None:
    cluster = FakeCluster()
    with FakeServer(cluster) as server, WalrusClient([server.address]) as client:
        client.register("t")
        payloads = [bytes([number]) * 3_000_000 for number in range(3)]
        assert client.put_many("t", payloads) == 3
        assert cluster.topics["t"] == payloads


def test_put_many_tells_refused_unknown_and_unsent_records_apart() -> None:
    numbers = count()

    def failing(frame: bytes) -> bytes | None:
        number = next(numbers)
        if number == 600:
            raise Hangup
        return {1: b"ERR no raft leader known", 2: b"ERR outcome unknown: t:1"}.get(number, b"OK")

    with (
        FakeServer(failing) as server,
        WalrusClient([server.address]) as client,
        pytest.raises(PutManyFailed) as caught,
    ):
        client.put_many("t", [b"x"] * 5000)
    error = caught.value
    assert error.refused == {1: "no raft leader known"}
    assert error.unknown[0] == 2
    assert error.unknown[1:] == list(range(error.unknown[1], error.unsent_from))
    assert 600 < error.unsent_from < 5000
    assert error.acknowledged + 1 + len(error.unknown) == error.unsent_from
    assert "no raft leader known" in str(error)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_an_impossible_timeout_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="bad timeout"):
        WalrusClient(timeout_s=timeout_s)


def test_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no address"):
        WalrusClient([])


def test_a_host_that_no_name_can_be_is_a_connection_error() -> None:
    with (
        WalrusClient([f"{'a' * 70}.example:1"]) as client,
        pytest.raises(NotConnected, match="cannot connect"),
    ):
        client.metrics()


def test_many_requests_get_their_replies_in_order_errors_included() -> None:
    with FakeServer(FakeCluster()) as server, WalrusClient([server.address]) as client:
        client.register("t")
        client.put_many("t", [b"a", b"b"])
        requests = [calls.fetch("t", 1, 0), calls.fetch("t", 1, 2), calls.get("nope"), calls.get("t")]
        assert client.call_many(requests) == [b"OK 1 a", b"EMPTY", b"ERR unknown topic nope", b"OK a"]
        assert client.call_many([]) == []


def test_many_requests_end_once_their_replies_are_too_large_and_the_next_is_not_confused() -> None:
    with FakeServer(FakeCluster()) as server, WalrusClient([server.address]) as client:
        client.register("t")
        client.put_many("t", [b"%d" % number * 1000 for number in range(100)])
        requests = [calls.fetch("t", 1, offset) for offset in range(100)]
        replies = client.call_many(requests, reply_bytes_max=10_000)
        assert 1 <= len(replies) < 100
        assert client.call_many(requests[len(replies) :])[0] == b"OK %d %b" % (
            len(replies) + 1,
            b"%d" % len(replies) * 1000,
        )


def test_of_many_requests_those_that_may_be_repeated_move_on_and_a_get_does_not() -> None:
    with FakeServer(hangs_up) as dead, FakeServer(FakeCluster()) as server:
        with WalrusClient([dead.address, server.address]) as client:
            assert client.call_many([calls.METRICS, calls.TOPICS])[0].startswith(b"{")
        with (
            WalrusClient([dead.address, server.address]) as client,
            pytest.raises(OutcomeUnknown, match="outcome unknown: GET t: connection to"),
        ):
            client.call_many([calls.METRICS, calls.get("t")])
