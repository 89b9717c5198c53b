"""Entry point of the image: hand /data to the user walrus, become that user, be the node.

A bind mount arrives owned by root, while the node must not run as root. The node runs in this very process:
process 1 of a container gets the SIGTERM of ``docker stop``, and the kernel drops signals for which process 1
has no handler, so one is set before anything else.
"""

import os
import pwd
import signal
import sys
from types import FrameType

USER = "walrus"
DATA = "/data"


def stop_before_start(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def take_ownership(directory: str, uid: int, gid: int) -> None:
    """Make ``directory`` and all below it belong to ``uid``; links are changed themselves, never followed."""
    if os.lstat(directory).st_uid != uid:
        os.chown(directory, uid, gid, follow_symlinks=False)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                take_ownership(entry.path, uid, gid)
            elif entry.stat(follow_symlinks=False).st_uid != uid:
                os.chown(entry.path, uid, gid, follow_symlinks=False)


def drop_privileges() -> None:
    """Become the user walrus for good. Started with ``--user``, the container is that user already."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(USER)
    take_ownership(DATA, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["HOME"] = user.pw_dir


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop_before_start)
    drop_privileges()
    from walrus.cli.node import main

    sys.argv[0] = "walrus-node"
    sys.exit(main())
