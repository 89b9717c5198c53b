"""Which start of the operating system this process runs under."""

from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_id(path: Path = _BOOT_ID) -> str:
    """The kernel's boot id; "" where it does not tell one. Containers have that of their host, whose memory it is."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
