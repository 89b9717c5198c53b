"""Bugs in going on with one disk after the majority was lost. All show only in runs that end so."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.survivor import _Taking

BUGS = (
    Bug(
        "survivor-keeps-counts",
        0,
        "A sealed segment keeps its count although the survivor's copy is shorter: nobody gets past it.",
        "own: rule 11 of the design, clamped when an override lowers a tail",
        False,
        (Edit(_Taking._keep, "(count is None or kept < count)", "count is None"),),
        lost_majority=True,
    ),
    Bug(
        "survivor-forgets-fence",
        0,
        "An open segment keeps the epoch that the survivor's log knows, below a fence that its copy has promised.",
        "own: fences come before the entries that announce them",
        False,
        (Edit(_Taking._keep, "max(segment.epoch, copy.fence_epoch)", "segment.epoch"),),
        lost_majority=True,
    ),
    Bug(
        "survivor-keeps-damage",
        0,
        "A damaged copy counts up to its damage, and its file is not cut there: it stays lost.",
        "own: the set of one has nobody to fill it from",
        False,
        (Edit(_Taking._keep, "if copy.damage:", "if copy.damage and not kept:"),),
        lost_majority=True,
    ),
    Bug(
        "survivor-drops-unknown",
        0,
        "Copies of segments that the survivor's log does not know are left out.",
        "own: a copy may be ahead of the log on the same disk",
        False,
        (Edit(_Taking._topic, "topic is None or number > topic.last.number", "False"),),
        lost_majority=True,
    ),
)
