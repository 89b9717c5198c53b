"""What a copy says to writers and recoverers: never more than is durable."""

from walrus.core.outbox import Outbox
from walrus.core.segment.messages import ACCEPTED, FENCED, NO_ROOM, UNTRUSTED, AppendAck, FenceReply
from walrus.core.segment.replica import LOST, Replica


class Answers:
    """Sends; what it goes by is the copy's own state."""

    def __init__(self, out: Outbox) -> None:
        self._out = out

    def refuse(self, sender: int, replica: Replica, epoch: int, status: int) -> None:
        length = replica.durable_length if status == NO_ROOM else replica.length
        refusal = AppendAck(
            *replica.key, epoch, status, length, replica.fence_epoch, replica.version, 0, replica.doubtful
        )
        self._out.send(sender, refusal)

    def fence(self, to: int, replica: Replica, status: int) -> None:
        epoch = replica.fence_epoch if status == FENCED else replica.fence_durable
        lost = replica.state == LOST
        length, size_bytes = (0, 0) if lost else (replica.durable_length, replica.durable_bytes)
        power_cut = replica.doubtful and not lost
        self._out.send(to, FenceReply(*replica.key, epoch, status, length, size_bytes, power_cut))

    def fences(self, replica: Replica) -> None:
        if not replica.fence_waiters or not replica.settled:
            return
        waiting = []
        for node, epoch in replica.fence_waiters:
            if epoch < replica.fence_epoch:
                self.fence(node, replica, FENCED)
            elif epoch <= replica.fence_durable:
                untrusted = replica.state == LOST or replica.doubtful
                self.fence(node, replica, UNTRUSTED if untrusted else ACCEPTED)
            else:
                waiting.append((node, epoch))
        replica.fence_waiters = waiting

    def acknowledge(self, replica: Replica) -> None:
        if not replica.ack_to or (replica.length and (not replica.held or replica.held_token)):
            return
        for node, epoch in replica.ack_to.items():
            length, fence = replica.durable_length, replica.fence_epoch
            ack = AppendAck(*replica.key, epoch, ACCEPTED, length, fence, replica.version, replica.unsynced)
            self._out.send(node, ack)
        if replica.durable_length == replica.length and not (replica.strict and replica.unsynced):
            replica.ack_to.clear()
