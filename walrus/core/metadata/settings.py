"""Settings of a topic: how long its records are kept, and how durable they are when they are acknowledged.

Retention counts SEALED segments only and goes by whole segments, the oldest first (as Kafka's and NATS's do): a segment
may go once it is older than ``retention_ms``, or once what is left without it still has ``retention_bytes`` bytes or
``retention_records`` records. So a topic holds at least what a limit names, if it ever did. 0: no limit.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import astuple as struct_astuple

from walrus.core.metadata.durability import ALWAYS, DurabilityError, durability_text, parse_durability
from walrus.core.peer import Natural

_DIGITS_MAX: Final = 19
NUMBER_MAX: Final = (1 << 63) - 1


class SettingError(ValueError):
    """A setting that cannot be; the text names it and what would be right."""


class TopicSettings(msgspec.Struct, frozen=True, array_like=True):
    """0: no limit. ``durability``: see :mod:`walrus.core.metadata.durability`."""

    retention_ms: Natural = 0
    retention_bytes: Natural = 0
    retention_records: Natural = 0
    durability: Natural = ALWAYS

    @property
    def retains_all(self) -> bool:
        return not (self.retention_ms or self.retention_bytes or self.retention_records)


NAMES: Final = TopicSettings.__struct_fields__
DURABILITY: Final = "durability"
DEFAULTS: Final = TopicSettings()


def parse_settings(words: Sequence[str]) -> dict[str, int]:
    """The settings in ``name=value`` words, as fields of :class:`TopicSettings`. Raises SettingError."""
    found: dict[str, int] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or name not in NAMES:
            raise SettingError(f"a setting is one of {', '.join(f'{name}=' for name in NAMES)}: {word!r}")
        if name in found:
            raise SettingError(f"{name} is given twice: {word!r}")
        if name == DURABILITY:
            try:
                found[name] = parse_durability(value)
            except DurabilityError as error:
                raise SettingError(str(error)) from error
            continue
        if not value.isascii() or not value.isdigit() or len(value) > _DIGITS_MAX or int(value) > NUMBER_MAX:
            raise SettingError(f"{name} must be a whole number from 0 (no limit) to {NUMBER_MAX}: {value!r}")
        found[name] = int(value)
    return found


def settings_text(settings: TopicSettings) -> str:
    """The settings that are not the defaults, as words; "no settings" if there are none."""
    words = [
        f"{name}={durability_text(value) if name == DURABILITY else value}"
        for name, value in zip(NAMES, struct_astuple(settings), strict=True)
        if value != getattr(DEFAULTS, name)
    ]
    return " ".join(words) or "no settings"
