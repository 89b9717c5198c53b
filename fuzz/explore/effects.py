"""What a step of a machine does to the rest of the cluster."""

from itertools import chain, combinations
from typing import Any, Final, NamedTuple

from fuzz.explore.rest import ENDED, NONE, UNSENT, Rest
from fuzz.explore.views import Face
from walrus.core.segment.messages import MOVED, PutsDone

State = tuple[int, ...]
Label = tuple[Any, ...]


class Step(NamedTuple):
    """Something that can happen, the state after it, and "" or what it violates."""

    label: Label
    state: State
    problem: str
    fault: bool  # it need not happen for the cluster to get well


class Effect(NamedTuple):
    """What a step of a machine sent: messages by number, answers to the client's PUTs."""

    messages: tuple[int, ...]
    proposals: tuple[int, ...]
    answers: tuple[PutsDone, ...]


NOTHING: Final = Effect((), (), ())


def noted(rest: Rest, view: Face, effect: Effect) -> Rest:
    """The client and the explorer's memory take note of what was answered and acknowledged."""
    acked = list(rest.acked)
    for found in view.writing:
        acked += [()] * (found.segment - len(acked))
        if len(found.acked) > len(acked[found.segment - 1]):
            acked[found.segment - 1] = found.acked
    records = list(rest.records)
    for answer in effect.answers:
        for request in range(answer.rid, answer.rid + answer.count):
            if request in records:
                ended = UNSENT if answer.status == MOVED else ENDED.get(answer.status, NONE)
                records[records.index(request)] = ended
    return rest._replace(acked=tuple(acked), records=tuple(records))


def subsets(paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All selections of some, all or none of ``paths``."""
    return list(chain.from_iterable(combinations(paths, size) for size in range(len(paths) + 1)))
