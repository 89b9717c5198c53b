"""Client connections: however frames are cut into pieces, the same requests come of them; replies leave in order."""

from collections import deque
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from machine_sizes import sized

from walrus.core.actions import PauseReading, Reply, ResumeReading
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import SECOND, NodeConfig
from walrus.core.http_head import HEAD_BYTES_MAX
from walrus.core.wire import (
    FETCH,
    GET,
    HEADER,
    HTTP,
    INVALID_FRAME_LENGTH,
    METRICS,
    PUT,
    STATE,
    UNKNOWN_COMMAND,
    Request,
    encode_frame,
)

FRAME_BYTES_MAX = 64
PENDING_MAX = 4
CONFIG = NodeConfig(
    node_id=1,
    advertise_address="node1:6001",
    max_frame_bytes=FRAME_BYTES_MAX,
    max_pending_requests=PENDING_MAX,
    max_pending_bytes=200,
    frame_timeout_ns=60 * SECOND,
)
PAYLOAD = st.binary(max_size=50)
OVER_LONG = HEADER.pack(FRAME_BYTES_MAX + 1) + bytes(FRAME_BYTES_MAX + 1)
# The bytes of a frame, and what comes of them: a request, or the reply that refuses it.
FRAMES = st.one_of(
    PAYLOAD.map(lambda payload: (encode_frame(b"PUT logs " + payload), Request(PUT, "logs", payload))),
    st.sampled_from(
        (
            (encode_frame(b"GET logs"), Request(GET, "logs")),
            (encode_frame(b"STATE a.b-c_d ignored"), Request(STATE, "a.b-c_d")),
            (encode_frame(b"METRICS"), Request(METRICS)),
            (encode_frame(b"FETCH logs 3 7"), Request(FETCH, "logs", b"", 3, 7)),
            (encode_frame(b"get logs"), UNKNOWN_COMMAND),
            (encode_frame(b"PUT"), b"ERR PUT requires a topic"),
            (encode_frame(b""), INVALID_FRAME_LENGTH),
            (OVER_LONG, INVALID_FRAME_LENGTH),
        )
    ),
)
HEAD = b"GET /metrics?x=1 HTTP/1.1\r\nHost: node1\r\n\r\n"


@dataclass
class Frame:
    """A frame, or an HTTP head, that is not whole at the node yet."""

    size: int
    outcome: Request | bytes
    lacks: int

    @property
    def over_long(self) -> bool:
        """It is refused once its length is known."""
        return self.size > FRAME_BYTES_MAX + HEADER.size and self.outcome == INVALID_FRAME_LENGTH


class Client:
    """What one client has sent, and what it must be told. ``began_ns``: since when the node waits for the rest."""

    def __init__(self, conn: int, paused: bool) -> None:
        self.conn = conn
        self.unsent = b""
        self.due: deque[Frame] = deque()
        self.waiting: list[tuple[Slot | None, bytes | None]] = []  # in order: whom to answer, the reply
        self.used = False
        self.http = False
        self.gone = False
        self.paused = paused
        self.was_paused = paused  # since began_ns
        self.began_ns = 0

    def means(self, data: bytes, outcome: Request | bytes) -> None:
        """Queue bytes, and note what must come of them."""
        self.used = True
        self.unsent += data
        self.due.append(Frame(len(data), outcome, len(data)))

    @property
    def partial(self) -> bool:
        """The node has a piece of a frame, and waits for the rest."""
        return not self.gone and bool(self.due) and self.due[0].lacks < self.due[0].size

    def wait(self, now_ns: int) -> None:
        """From now on the rest has its time."""
        self.began_ns, self.was_paused = now_ns, self.paused

    def overdue(self, now_ns: int) -> bool:
        """The rest should have come."""
        return self.partial and self.began_ns + CONFIG.frame_timeout_ns <= now_ns

    def arrived(self, count: int) -> list[Request | bytes]:
        """What ``count`` more bytes lead to."""
        found: list[Request | bytes] = []
        while count:
            frame = self.due[0]
            taken = min(frame.lacks, count)
            length_known = frame.lacks > frame.size - HEADER.size >= frame.lacks - taken
            frame.lacks -= taken
            count -= taken
            if length_known if frame.over_long else not frame.lacks:
                found.append(frame.outcome)
            if not frame.lacks:
                self.due.popleft()
        return found


class WireMachine(RuleBasedStateMachine):
    """One node's sessions, and a model that knows what each client is owed."""

    clients = Bundle("clients")
    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.sessions = ClientSessions(CONFIG)
        self.now_ns = 0
        self.all: list[Client] = []
        self.stopping = False

    @rule(target=clients)
    def a_client_connects(self) -> Client:
        client = Client(len(self.all) + 1, self.stopping)
        self.all.append(client)
        self.sessions.connected(client.conn, self.now_ns)
        return client

    @rule(client=clients, frames=st.lists(FRAMES, min_size=1, max_size=6))
    def a_client_queues_frames(self, client: Client, frames: list[tuple[bytes, Request | bytes]]) -> None:
        if not client.http:
            for data, outcome in frames:
                client.means(data, outcome)

    @rule(client=clients)
    def a_client_turns_out_to_speak_http(self, client: Client) -> None:
        if not client.used:
            client.http = True
            client.means(HEAD, Request(HTTP, "/metrics"))

    @rule(target=slots, client=clients, count=st.integers(1, 150))
    def some_bytes_arrive(self, client: Client, count: int) -> object:
        """What the node makes of them is what the client meant, wherever they were cut."""
        piece, client.unsent = client.unsent[:count], client.unsent[count:]
        if not piece:
            return multiple()
        taken = self.sessions.received(client.conn, piece, self.now_ns)
        if client.gone:
            assert taken == []
            return multiple()
        was_partial = client.partial
        outcomes = client.arrived(len(piece))
        skipping = (
            client.partial and client.due[0].over_long and client.due[0].size - client.due[0].lacks >= HEADER.size
        )
        if outcomes or skipping or not was_partial:
            client.wait(self.now_ns)
        assert [request for _, request in taken] == [item for item in outcomes if isinstance(item, Request)]
        slots = [slot for slot, _ in taken]
        for item in outcomes:
            if isinstance(item, Request):
                client.waiting.append((slots[len(slots) - len(taken)], None))
                taken.pop()
            else:
                client.waiting.append((None, encode_frame(item)))
        return multiple(*[(client, slot) for slot in slots])

    @rule(pair=consumes(slots), body=st.binary(max_size=120))
    def a_request_is_answered(self, pair: tuple[Client, Slot], body: bytes) -> None:
        client, slot = pair
        assert slot.alive == (not client.gone)
        if client.http:
            self.sessions.answer_http(slot, 200, "text/plain", body)
        else:
            self.sessions.answer(slot, body)
        for place, (waiting, _) in enumerate(client.waiting):
            if waiting is slot:
                client.waiting[place] = (slot, body if client.http else encode_frame(body))

    @rule(client=clients)
    def a_client_leaves(self, client: Client) -> None:
        self.sessions.disconnected(client.conn)
        client.gone = True
        client.waiting.clear()

    @rule(duration_ns=st.sampled_from((1 * SECOND, 59 * SECOND, 60 * SECOND)))
    def time_passes(self, duration_ns: int) -> None:
        """A half frame that is overdue closes its connection, unless the node did not read the rest."""
        self._drain()
        self.now_ns += duration_ns
        waiting = [client.began_ns + CONFIG.frame_timeout_ns for client in self.all if client.partial]
        assert self.sessions.deadline_ns() == min(waiting, default=None)
        overdue = [client for client in self.all if client.overdue(self.now_ns)]
        unread = [client for client in overdue if client.was_paused]
        self.sessions.tick(self.now_ns)
        for client in unread:
            client.wait(self.now_ns)
        self._drain()
        assert [client for client in overdue if not client.gone] == unread

    @rule()
    def the_node_stops_reading(self) -> None:
        self.stopping = True
        self.sessions.stop_reading()

    @invariant()
    def clients_are_told_what_they_are_owed_in_order(self) -> None:
        self._drain()
        for client in self.all:
            assert client.gone or not client.waiting or client.waiting[0][1] is None
        waiting = [client.waiting for client in self.all if not client.gone]
        assert self.sessions.open_connections == len(waiting)
        assert self.sessions.pending_requests == sum(map(len, waiting))

    @invariant()
    def little_is_held_and_who_holds_much_is_not_read(self) -> None:
        bound = 0
        for client in [client for client in self.all if not client.gone]:
            if len(client.waiting) > PENDING_MAX:
                assert client.paused
            if not client.waiting:
                assert client.paused == self.stopping
            bound += max(FRAME_BYTES_MAX, HEAD_BYTES_MAX if client.http else 8)
            bound += sum(FRAME_BYTES_MAX + len(reply or b"") for _, reply in client.waiting)
        assert self.sessions.buffered_bytes <= bound

    def _drain(self) -> None:
        for action in self.sessions.drain():
            assert isinstance(action, PauseReading | ResumeReading | Reply)
            client = self.all[action.conn - 1]
            assert not client.gone, "nothing is done about a client that has left"
            if isinstance(action, Reply):
                self._replied(client, action)
            else:
                assert client.paused != isinstance(action, PauseReading) or self.stopping
                client.paused = isinstance(action, PauseReading)
                client.was_paused = True

    def _replied(self, client: Client, action: Reply) -> None:
        owed = []
        while client.waiting and (reply := client.waiting[0][1]) is not None:
            owed.append(reply)
            client.waiting.pop(0)
        if client.http and owed:
            assert action.data.startswith(b"HTTP/1.1 200 OK\r\n")
            assert action.data.endswith(b"\r\n\r\n" + owed[0])
            assert action.close
        else:
            assert action.data == b"".join(owed)
        if action.close:
            assert client.overdue(self.now_ns) or (client.http and owed)
            client.gone = True
            client.waiting.clear()


TestWire = WireMachine.TestCase
TestWire.settings = sized(60, 40)
