"""The kind of random source that the core is given at construction; it never makes one."""

from typing import Protocol


class Generator(Protocol):
    """What the core draws: ``random.Random`` has it, and so has the simulator's own generator."""

    def getrandbits(self, k: int, /) -> int:
        """Return a uniform integer of ``k`` bits."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """Return a uniform integer of ``[start, stop)``."""
        ...
