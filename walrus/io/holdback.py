"""``after=token`` as an executable rule: an action waits until the write with its token is durable."""

from typing import Final

from walrus.core.actions import Send
from walrus.core.events import WriteCompleted, WriteFailed

_FAILED_TOKENS_MAX: Final = 65_536


class Holdback:
    """Actions kept back, by the token they wait for.

    Invariant: ``_waiting`` has exactly the tokens of the writes under way. A token that is neither under
    way nor among the failed has completed, for the core names only tokens of writes that it gave out before
    or with the action.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[Send]] = {}
        self._failed: dict[int, None] = {}  # oldest first; what waits for a failed write is never sent

    def begin(self, token: int) -> None:
        """A write with ``token`` was given to the storage driver; perhaps again, after there was no room for it."""
        self._waiting.setdefault(token, [])

    def holds(self, action: Send) -> bool:
        """Keep ``action`` if it must not be carried out now; say so by returning True."""
        waiting = self._waiting.get(action.after)
        if waiting is not None:
            waiting.append(action)
            return True
        return action.after in self._failed

    def settle(self, event: WriteCompleted | WriteFailed) -> list[Send]:
        """Return the actions that ``event`` sets free, in the order they came; a failed write frees none."""
        freed = self._waiting.pop(event.token, [])
        if isinstance(event, WriteCompleted):
            return freed
        self._failed[event.token] = None
        if len(self._failed) > _FAILED_TOKENS_MAX:
            del self._failed[next(iter(self._failed))]
        return []
