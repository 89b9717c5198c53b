"""Which driver a process gets, and what it says about it."""

import ctypes
import os
import select
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from storage_worlds import make_driver

from walrus.core.actions import Write
from walrus.core.events import WriteCompleted
from walrus.io.storage_choice import choose, open_storage
from walrus.io.wakeup import Wakeup

IO_URING_SETUP = 425  # the same number on every architecture
EXTENSION = "walrus.io.uring._liburing"
VERSION = [sys.executable, "-c", "from walrus.cli.node import main; main()", "--version"]


def forbid_io_uring(error: int) -> None:
    """In a child before it executes: a seccomp filter under which ``io_uring_setup`` says ``error``."""
    load, jump_if_equal, give_back = 0x20, 0x15, 0x06
    instructions = [
        (load, 0, 0, 0),  # the number of the system call
        (jump_if_equal, 0, 1, IO_URING_SETUP),
        (give_back, 0, 0, 0x00050000 | error),  # SECCOMP_RET_ERRNO
        (give_back, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "prctl")


def test_the_variable_selects_mmap_and_is_named() -> None:
    assert str(choose(disable_io_uring=True)) == "mmap (WALRUS_DISABLE_IO_URING is set)"


def test_without_the_extension_it_is_mmap_and_says_what_a_build_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, EXTENSION, None)
    driver, choice = open_storage(tmp_path, disable_io_uring=False)
    driver.close()
    assert driver.name == choice.name == "mmap"
    assert choice.reason.startswith("io_uring is not built in (")
    assert "gcc, python3-dev and liburing-dev" in choice.reason
    assert choose(disable_io_uring=False) == choice


@pytest.mark.parametrize(("error", "said"), [(1, "EPERM: Operation not permitted"), (38, "ENOSYS: ")])
def test_a_container_that_forbids_io_uring_is_served_by_mmap_and_told_why(
    tmp_path: Path, error: int, said: str
) -> None:
    make_driver("io_uring", tmp_path).close()  # skips where there is nothing to forbid
    done = subprocess.run(
        VERSION, capture_output=True, text=True, check=True, preexec_fn=lambda: forbid_io_uring(error)
    )
    assert f"storage driver: mmap (io_uring_setup says {said}" in done.stdout
    assert "seccomp" in done.stdout


@pytest.mark.parametrize(("value", "disabled"), [("1", True), ("yes", True), ("", False), ("0", False)])
def test_version_tells_the_driver_and_knows_what_disables_it(value: str, disabled: bool) -> None:
    done = subprocess.run(
        VERSION, capture_output=True, text=True, check=True, env={**os.environ, "WALRUS_DISABLE_IO_URING": value}
    )
    version, driver = done.stdout.splitlines()
    assert version.startswith("walrus-node, version ")
    assert driver.startswith("storage driver: ")
    assert ("WALRUS_DISABLE_IO_URING is set" in driver) == disabled


def test_both_drivers_write_the_same_files_and_go_on_with_each_others(tmp_path: Path) -> None:
    """A node may be restarted with the other driver at any time."""
    expected = b""
    for turn, name in enumerate(("mmap", "io_uring", "mmap", "io_uring")):
        driver = make_driver(name, tmp_path)
        for number in range(3):
            data = b"%s %d %d;" % (name.encode(), turn, number)
            driver.submit([Write("a", len(expected), data, number + 1)])
            expected += data
            done = []
            while not done:
                assert select.select([driver.fileno()], [], [], 20)[0]
                done = driver.on_ready(0)
            assert done == [WriteCompleted(number + 1)]
        driver.close()
    written = (tmp_path / "a").read_bytes()
    assert written == expected.ljust(64 * 1024, b"\0")


def test_looking_for_io_uring_leaves_no_descriptor_behind() -> None:
    Wakeup().close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        choose(disable_io_uring=False)
    assert len(os.listdir("/proc/self/fd")) == before
