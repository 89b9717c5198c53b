"""Bugs on the way of clients' requests: PUTs, GETs, cursors, reads."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.cursors import Cursors, OwnedCursor
from walrus.core.gets import Gets
from walrus.core.leaving import Leaving
from walrus.core.puts import Puts
from walrus.core.segment.blockreader import BlockReader
from walrus.core.service import Service

BUGS = (
    Bug(
        "cursor-past-outstanding",
        22,
        "The committed cursor passes records that were handed out and not delivered.",
        "consumers that commit offsets before the work is done",
        True,
        (Edit(OwnedCursor.position, "lowest = self.next\n", "return self.next\n"),),
    ),
    Bug(
        "goes-without-farewell",
        0,
        "A node that stops does not let the others commit their cursors before it takes the quorum away.",
        "own: found by a test on real nodes, which were stopped one after the other",
        False,
        (Edit(Leaving._handed_over, "if not self._farewells.ask():", "if False:"),),
    ),
    Bug(
        "delivery-assumed",
        0,
        "A record counts as delivered although its client's connection was gone.",
        "own: found while Walrus was written",
        False,
        (
            Edit(Gets.flush, "delivered=pending.slot.alive", "delivered=True"),
            Edit(
                Gets.answered,
                "delivered = slot.alive if slot is not None else self._told.get(told, False)",
                "delivered = True",
            ),
        ),
    ),
    Bug(
        "forward-taken-twice",
        0,
        "PUTs that a node forwarded are taken again when the message comes twice.",
        "a network that repeats messages, as none that speaks only over TCP sees",
        True,
        (
            Edit(
                Puts.forwarded,
                "    if message.rid <= self._last_rid.get(seen, 0):\n        return\n",
                "",
            ),
        ),
    ),
    Bug(
        "lost-forward-sent-again",
        0,
        "A forwarded PUT whose connection broke is sent again, although it may have been taken.",
        "etcd, Consul and many clients that retry writes (Jepsen)",
        False,
        (Edit(Puts._lost, "self._finish(key, UNKNOWN, [pending])", "self._finish(key, MOVED, [pending])"),),
    ),
    Bug(
        "put-overtakes",
        0,
        "PUTs go to a new writer while earlier ones of the same connection are with the old one.",
        "own: a clause of the design",
        False,
        (
            Edit(
                Puts._dispatch,
                " or route.moved or (route.under_way and route.target != segment.number)",
                "",
            ),
        ),
    ),
    Bug(
        "early-forward-refused",
        0,
        "A writer that has not seen its segment open refuses a first PUT and takes the second.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                Puts.forwarded,
                "self._early.setdefault(message.topic, []).append((sender, message, deadline))",
                "self._out.send(sender, PutsDone(message.rid, len(message.payloads), MOVED))",
            ),
        ),
    ),
    Bug(
        "get-without-asker",
        0,
        "The owner of a cursor takes two nodes' GETs of the same number for one.",
        "own",
        False,
        (
            Edit(
                Cursors._is_repeated,
                "owned.handed.get((pending.node, pending.rid))",
                "owned.handed.get((0, pending.rid))",
            ),
            Edit(
                Cursors._is_repeated,
                "any((p.node, p.rid) == (pending.node, pending.rid) for p in owned.queue)",
                "any(p.rid == pending.rid for p in owned.queue)",
            ),
            Edit(Cursors._serve, "who = (pending.node, pending.rid)", "who = (0, pending.rid)"),
        ),
    ),
    Bug(
        "told-without-record",
        0,
        "What was told of one answer to a GET is told of another record that came for the same GET.",
        "own: found while Walrus was written",
        False,
        (Edit(Gets.answered, "told = (message.rid, message.offset)", "told = (message.rid, 0)"),),
    ),
    Bug(
        "coalesced-empty",
        0,
        "A read that was asked before a GET came answers it EMPTY.",
        "own: found while Walrus was written",
        False,
        (
            Edit(Cursors.fetched, "while owned.queue and owned.queue[0].order <= done.asked:", "while owned.queue:"),
            Edit(Gets.fetched, "elif ticket <= done.asked:", "elif ticket:"),
        ),
    ),
    Bug(
        "end-told-while-sealing",
        0,
        "A writer that has proposed its seal still says that the topic ends there.",
        "own: found while Walrus was written",
        False,
        (
            Edit(BlockReader._visible, "READ_END if writer.state != PROPOSED else READ_ELSEWHERE", "READ_END"),
            Edit(BlockReader._without_copy, "writer.readable and writer.state != PROPOSED", "writer.readable"),
        ),
    ),
    Bug(
        "short-copy-says-end",
        0,
        "A short copy of a sealed segment says that the topic ends there instead of sending the reader elsewhere.",
        "own: a clause of the design",
        True,
        (
            Edit(
                BlockReader._visible,
                "else min(segment.count, replica.durable_length)\n"
                "        return (READ_OK if offset < shown else READ_ELSEWHERE), shown",
                "else min(segment.count, replica.durable_length)\n"
                "        return (READ_OK if offset < shown else READ_END), shown",
            ),
        ),
    ),
    Bug(
        "dirty-read",
        0,
        "The writer shows records that are not acknowledged yet.",
        "reads above the high watermark",
        True,
        (
            Edit(
                BlockReader._visible,
                "    if offset < writer.acked:\n        return READ_OK, writer.acked\n",
                "    if offset < replica.durable_length:\n        return READ_OK, replica.durable_length\n",
            ),
        ),
    ),
    Bug(
        "unknown-topic-unasked",
        0,
        "A node says that a topic is unknown without asking whether it is up to date.",
        "every lookup in a local copy of the metadata",
        True,
        (
            Edit(
                Service.request,
                "self._behind[self._reads.barrier()] = (slot, request, now_ns + self._config.rpc_timeout_ns)",
                "self._dispatch(slot, request, now_ns)",
            ),
        ),
    ),
)
