"""Errors of the runtime that an operator can mend."""

import errno


class StartError(Exception):
    """The node cannot start; the text is one plain sentence for the operator."""


def describe(error: OSError) -> str:
    """Return errno name and text, such as ``ENOSPC: No space left on device``."""
    if error.errno is None:
        return str(error)
    return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror}"
