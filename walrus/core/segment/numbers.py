"""Which segments of a topic this disk may have something of: a copy, or a file from an earlier lifetime."""

from walrus.core.segment.replica import Key, segment_key


class Numbers:
    """Segment numbers by topic; asked for when the first segments of one are gone."""

    def __init__(self, files: dict[str, int]) -> None:
        self._of: dict[str, dict[int, None]] = {}
        for found in filter(None, map(segment_key, files)):
            self.add(found)

    def add(self, key: Key) -> None:
        self._of.setdefault(key[0], {})[key[1]] = None

    def remove(self, key: Key) -> None:
        numbers = self._of[key[0]]
        del numbers[key[1]]
        if not numbers:
            del self._of[key[0]]

    def below(self, topic: str, number: int) -> list[Key]:
        """Those of a topic below a number, ascending."""
        return [(topic, known) for known in sorted(self._of.get(topic, ())) if known < number]
