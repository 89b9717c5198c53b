"""The content of a node as one nested tuple: equal tuples, equal behaviour.

Every field of every object counts, except those named here. What is left out, and why that never merges two nodes that
behave differently:

- references from one part of a node to another, or to one of its copies: each is written once, where it belongs;
- tokens of writes: they are only compared for equality and new ones are always greater, so the n-th oldest in use is
  written as n; the last one given away is no state (nor is the last request number, see :mod:`fuzz.explore.machine`);
- the order of keys in a dictionary, and of those who wait for one fence, decides only in which order the messages of
  one step leave, and the explorer's network has no order;
- how often a read was tried, beyond what decides whom to ask next: sets have at most four members.
"""

from array import array
from collections import OrderedDict, deque
from enum import Enum
from operator import itemgetter
from typing import Any, Final

from sortedcontainers import SortedDict, SortedList

Content = tuple[Any, ...]

FIRST_RID: Final = 1 << 40  # an int from here on is a request number: Outbox.begin_lifetime begins so
ATTEMPTS: Final = 12  # divisible by every number of members to ask
_TOKENS: Final = {"flying_token", "_waiting_token", "held_token", "token"}
_KEYED_BY_TOKEN: Final = {"_writes", "_notes", "_deletes", "_scans", "_cuts", "_reads"}
_UNORDERED: Final = {"fence_waiters", "untrusted", "holding"}
_PLAIN: Final = (str, bytes, bool, type(None))
_SEQUENCES: Final = (tuple, list, deque, SortedList)
_MAPPINGS: Final = (dict, OrderedDict, SortedDict)
_first = itemgetter(0)


class Canon:
    """Writes objects down. ``parts`` are the types that are only ever referred to; ``skip`` are fields left out."""

    def __init__(self, parts: tuple[type, ...], skip: dict[type, set[str]]) -> None:
        self.parts = parts
        self._skip = skip
        self._names: dict[tuple[type, int], tuple[str, ...]] = {}
        self._ranks: dict[int, int] = {}
        self.rids: set[int] = set()
        self._kept: set[int] = set()  # identities of the copies that a node has; others it has dropped

    def write(self, roots: list[object]) -> Content:
        """The content of ``roots``; ``rids`` are then the request numbers in it."""
        self.rids = set()
        kept = [replica for root in roots for replica in getattr(root, "replicas", {}).values()]
        self._kept = {id(replica) for replica in kept}
        tokens: set[int] = set()
        for root in roots:
            self._collect(root, tokens)
        self._ranks = {token: rank for rank, token in enumerate(sorted(tokens | {0}))}
        return tuple(self._object(root) for root in roots)

    def _fields(self, value: object) -> tuple[str, ...]:
        kind = type(value)
        named = getattr(value, "__dict__", None)
        key = (kind, len(named) if named else 0)  # attributes are only ever added
        found = self._names.get(key)
        if found is None:
            if named:
                names = sorted(named)
            else:
                names = list(getattr(kind, "__struct_fields__", ()))
                names += [name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())]
            skip = self._skip.get(kind, set())
            kept = [n for n in names if n not in skip and not isinstance(getattr(value, n), self.parts)]
            found = self._names[key] = tuple(kept)
        return found

    def _collect(self, value: object, tokens: set[int]) -> None:
        """Find all tokens in use."""
        for name in self._fields(value):
            item = getattr(value, name)
            if name in _TOKENS:
                tokens.add(item)
            elif name in _KEYED_BY_TOKEN and type(item) is dict:
                tokens.update(item)
                self._collect_from(list(item.values()), tokens)
            elif name == "replicas":
                for replica in item.values():
                    self._collect(replica, tokens)
            elif type(item) in _MAPPINGS:
                for inner in item.values():
                    self._collect_from(inner, tokens)
            else:
                self._collect_from(item, tokens)

    def _collect_from(self, value: Any, tokens: set[int]) -> None:
        kind = type(value)
        if kind is int or kind in _PLAIN or kind is array or kind is set or isinstance(value, (Enum, self.parts)):
            return
        if kind in _SEQUENCES:
            for item in value:
                self._collect_from(item, tokens)
        elif kind not in _MAPPINGS and id(value) not in self._kept:
            self._collect(value, tokens)

    def _object(self, value: object) -> Content:
        content: list[Any] = [type(value).__name__]
        for name in self._fields(value):
            item = getattr(value, name)
            if name in _TOKENS:
                content.append(self._ranks[item])
            elif name in _KEYED_BY_TOKEN and type(item) is dict:
                content.append(sorted((self._ranks[token], self._value(inner)) for token, inner in item.items()))
            elif name in _UNORDERED:
                content.append(sorted(item))
            elif name == "replicas":
                content.append(sorted((key, self._object(replica)) for key, replica in item.items()))
            elif name == "attempt":
                content.append(item if item < ATTEMPTS else ATTEMPTS + item % ATTEMPTS)
            else:
                content.append(self._value(item))
        return tuple(content)

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind is int:
            if value >= FIRST_RID:
                self.rids.add(value)
            return value
        if kind in _PLAIN:
            return value
        if kind in _SEQUENCES:
            return tuple([self._value(item) for item in value])
        if kind is set:
            return tuple(sorted(value))
        if kind in _MAPPINGS:
            return tuple(sorted([(self._value(k), self._value(v)) for k, v in value.items()], key=_first))
        if kind is array:
            return value.tobytes()
        if isinstance(value, Enum):
            return value.name
        if id(value) in self._kept:
            return value.key
        if isinstance(value, self.parts):
            return kind.__name__
        return self._object(value)
