"""What all deeds share."""

from typing import ClassVar

import msgspec

MS = 1_000_000


class Deed(msgspec.Struct, frozen=True, tag_field="do"):
    """One thing done to the cluster, by its ``apply(cluster)``. ``str(deed)`` is its line in the story.

    Deeds that no longer make sense (a crash of a node that is down) do nothing: when a run is shrunk, the deeds around
    them are left out.
    """

    kind: ClassVar[str] = ""
    """How a picture groups it: "process", "network", "disk", "clock" or "client"."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """Whom it concerns; empty: nobody in particular."""
        return ()

    @property
    def begins(self) -> str:
        """A name for the state that it begins, where it is one that lasts."""
        return ""

    @property
    def ends(self) -> str:
        """The name of the state that it ends."""
        return ""


def ms(time_ns: int) -> str:
    """A time as people read it."""
    return f"{time_ns / MS:.3f}".rstrip("0").rstrip(".") + " ms"
