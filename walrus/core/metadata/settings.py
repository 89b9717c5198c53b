"""Settings of a topic: how durable an acknowledgement is, and how long records are kept.

Retention counts SEALED segments only and goes by whole segments, the oldest first (as Kafka's and NATS's do): a segment
may go once it is older than ``retention_ms``, or once what is left without it still has ``retention_bytes`` bytes or
``retention_records`` records. So a topic holds at least what a limit names, if it ever did. 0: no limit.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from walrus.core.peer import Natural

ALWAYS: Final = "always"
NEVER: Final = "never"
INTERVAL_MS_MAX: Final = 3_600_000
_DURABILITY: Final = re.compile(r"always|never|interval:([1-9][0-9]{0,6})")
_DIGITS_MAX: Final = 19
NUMBER_MAX: Final = (1 << 63) - 1
DURABILITIES: Final = f"always, never, or interval:<ms> with 1 to {INTERVAL_MS_MAX} milliseconds"


class SettingError(ValueError):
    """A setting that cannot be; the text names it and what would be right."""


class TopicSettings(msgspec.Struct, frozen=True, array_like=True):
    """``durability`` empty: what the node's own setting says."""

    durability: str = ""
    retention_ms: Natural = 0
    retention_bytes: Natural = 0
    retention_records: Natural = 0

    @property
    def retains_all(self) -> bool:
        return not (self.retention_ms or self.retention_bytes or self.retention_records)


NAMES: Final = TopicSettings.__struct_fields__
DEFAULTS: Final = TopicSettings()


def check_durability(value: str) -> str:
    """``value`` if it is a durability mode; raises SettingError."""
    found = _DURABILITY.fullmatch(value)
    if found is None or int(found[1] or 0) > INTERVAL_MS_MAX:
        raise SettingError(f"durability must be {DURABILITIES}: {value!r}")
    return value


def parse_settings(words: Sequence[str]) -> dict[str, str | int]:
    """The settings in ``name=value`` words, as fields of :class:`TopicSettings`. Raises SettingError.

    ``durability=default`` is the node's own setting.
    """
    found: dict[str, str | int] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or name not in NAMES:
            raise SettingError(f"a setting is one of {', '.join(f'{name}=' for name in NAMES)}: {word!r}")
        if name in found:
            raise SettingError(f"{name} is given twice: {word!r}")
        if name == "durability":
            found[name] = "" if value == "default" else check_durability(value)
        elif not value.isascii() or not value.isdigit() or len(value) > _DIGITS_MAX or int(value) > NUMBER_MAX:
            raise SettingError(f"{name} must be a whole number from 0 (no limit) to {NUMBER_MAX}: {value!r}")
        else:
            found[name] = int(value)
    return found


def settings_text(settings: TopicSettings) -> str:
    """The settings that are not the defaults, as words; "no settings" if there are none."""
    words = [
        f"{name}={getattr(settings, name)}" for name in NAMES if getattr(settings, name) != getattr(DEFAULTS, name)
    ]
    return " ".join(words) or "no settings"
