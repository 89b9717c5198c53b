"""How durable an acknowledged record is: the modes of a topic, as numbers that compare, and as words.

A mode is the most milliseconds for which what a copy has acknowledged may be in memory only. ``always``: 0, a copy
acknowledges what is synced. ``interval:<ms>``: a sync begins so long after a write at the latest. ``never``: no bound;
copies are synced where a segment ends, and at a clean stop. What is in memory outlives the process, and not a loss of
power. A segment has the mode that its topic had when it was opened, for all its life.
"""

from typing import Final

ALWAYS: Final = 0
NEVER: Final = (1 << 63) - 1
INTERVAL_MS_MAX: Final = 24 * 3600 * 1000
_INTERVAL: Final = "interval:"
_DIGITS_MAX: Final = 9


class DurabilityError(ValueError):
    """No mode; the text says what would be one."""


def parse_durability(text: str) -> int:
    """Raises DurabilityError."""
    if text == "always":
        return ALWAYS
    if text == "never":
        return NEVER
    digits = text.removeprefix(_INTERVAL)
    if digits != text and digits.isascii() and digits.isdigit() and len(digits) < _DIGITS_MAX:
        interval_ms = int(digits)
        if 0 < interval_ms <= INTERVAL_MS_MAX:
            return interval_ms
    raise DurabilityError(
        f"durability must be always, interval:<ms> with 1 to {INTERVAL_MS_MAX} milliseconds, or never: {text!r}"
    )


def durability_text(mode: int) -> str:
    """The mode as :func:`parse_durability` takes it."""
    if mode == ALWAYS:
        return "always"
    return "never" if mode >= NEVER else f"{_INTERVAL}{mode}"
