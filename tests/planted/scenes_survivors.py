"""What the bugs in going on with one disk change."""

from scene import shows
from survivor_files import WHOLE, copy_of, directory, recovered, state_of

from walrus.core.storage.catalogue import Fenced, Held


@shows("survivor-keeps-counts", sound=[3, 0], broken=[6, 0])
def a_sealed_segment_of_which_half_is_here() -> object:
    (topic,) = state_of(recovered(directory(copy=copy_of("logs", 1, blocks=1)))).topics
    return [row.count for row in topic.segments]


@shows("survivor-forgets-fence", sound=7, broken=0)
def an_open_segment_that_was_fenced() -> object:
    (topic,) = state_of(recovered(directory(notes=(Held("logs", 2, 1), Fenced("logs", 2, 7))))).topics
    return topic.segments[-1].epoch


@shows("survivor-keeps-damage", sound=1, broken=0)
def a_damaged_copy() -> object:
    damaged = bytearray(WHOLE)
    damaged[len(copy_of("logs", 1, blocks=1)) + 60] ^= 1
    return len(recovered(directory(copy=bytes(damaged))).salvages)


@shows("survivor-drops-unknown", sound=["logs", "new"], broken=["logs"])
def a_copy_of_a_topic_that_the_log_does_not_know() -> object:
    files = directory(notes=(Held("new", 2, 1),))
    files["user_data/new:2.wal"] = copy_of("new", 2)
    return [topic.name for topic in state_of(recovered(files)).topics]
