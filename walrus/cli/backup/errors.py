"""What can go wrong with a backup besides the cluster itself."""


class BackupError(Exception):
    """The command cannot go on; a sentence that names the topic, object or place."""


class PlaceError(BackupError):
    """The place could not be read or written."""


class Missing(PlaceError):
    """There is no object of that name."""


class Damaged(BackupError):
    """An object is not as it was written; the text names it."""
