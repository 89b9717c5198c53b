"""Bugs in how an empty node 1 comes to found a cluster, or not."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.founding import Founding

BUGS = (
    Bug(
        "founder-asks-nobody",
        0,
        "An empty node 1 founds a cluster at once, whatever its peers belong to.",
        "own: what node 1 did before it asked",
        False,
        (
            Edit(Founding.begin, "self._is_founder and bool(self._peers)", "False"),
            Edit(Founding.begin, "return self._is_founder and not self._peers", "return self._is_founder"),
        ),
    ),
    Bug(
        "founder-hears-no-refusal",
        0,
        "An empty node 1 takes a cluster that does not let it in yet for none.",
        "own: a node whose old disk may live is refused for seconds",
        False,
        (Edit(Founding.answered, "elif self.asks and message.cluster:", "elif self.asks and not message.error:"),),
    ),
    Bug(
        "founder-goes-on-beside",
        0,
        "A node 1 that founded a cluster does not mind that there is another one, which knows it.",
        "own: two clusters that both acknowledge",
        False,
        (Edit(Founding.must_stop, "if not self.beside:", "if self.beside >= 0:"),),
    ),
)
