"""The store after a restart: who asks for a copy that is not open yet is answered once its length is known."""

from format_disk import Disk, boot, write_out

from fuzz.samples import BLOCKS
from walrus.core.actions import Read, Send, Truncate, Write
from walrus.core.codec import decode_message
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import Message
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, Fence, FenceReply
from walrus.core.segment.replica import segment_path
from walrus.core.segment.store import ReplicaStore
from walrus.core.storage import journal
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import FILE_HEADER_BYTES, SegmentHeader, encode_header
from walrus.core.storage.catalogue import Held, encode_record

KEY = ("logs", 1)
PATH = segment_path(KEY)


def fence_after_restart(data: bytes | None) -> list[Message]:
    """What node 2 hears when it fences, at epoch 5, a noted copy whose file now holds ``data``."""
    disk = Disk()
    first = boot(disk)
    first.journal_log.append(journal.encode_record(journal.Cluster(77)))
    first.catalogue_log.append(encode_record(Held(*KEY, 1)))
    write_out(disk, first)
    if data is not None:
        disk.files[PATH] = encode_header(SegmentHeader(1, first.storage, 0, *KEY)) + data
    ready = boot(disk)
    out = Outbox(1)
    out.begin_lifetime(ready.storage, ready.incarnation)
    store = ReplicaStore(out, Tokens(), Metadata(), ready.catalogue_log, ready.copies, disk.sizes())
    store.fence(2, Fence(*KEY, 5))
    heard = []
    while True:
        store.flush()
        actions = out.drain()
        if not actions:
            return heard
        for action in actions:
            if isinstance(action, Read):
                assert store.read_completed(action.token, disk.read(action))
            elif isinstance(action, Write | Truncate):
                disk.change(action)
                assert store.write_completed(action.token)
            elif isinstance(action, Send):
                found = decode_message(action.data)
                assert found is not None
                heard.append(found[1])


SIZE = FILE_HEADER_BYTES + sum(map(len, BLOCKS))


def test_a_fence_is_answered_with_the_length_found_on_the_disk() -> None:
    assert fence_after_restart(b"".join(BLOCKS)) == [FenceReply(*KEY, 5, ACCEPTED, 6, SIZE)]


def test_a_fence_is_answered_with_the_length_that_is_left_of_a_torn_copy() -> None:
    assert fence_after_restart(b"".join(BLOCKS)[:-1]) == [FenceReply(*KEY, 5, ACCEPTED, 4, SIZE - len(BLOCKS[-1]))]


def test_a_lost_copy_answers_a_fence_as_one_that_counts_in_no_quorum() -> None:
    assert fence_after_restart(None) == [FenceReply(*KEY, 5, UNTRUSTED, 0)]
