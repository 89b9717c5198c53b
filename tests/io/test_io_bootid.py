"""Which start of the operating system a process runs under."""

from pathlib import Path

from walrus.io.bootid import boot_id


def test_the_kernel_tells_its_boot_id() -> None:
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip() != ""


def test_where_the_kernel_does_not_tell_it_is_not_known(tmp_path: Path) -> None:
    assert boot_id(tmp_path / "boot_id") == ""
