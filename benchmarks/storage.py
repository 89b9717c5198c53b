"""How long an append and its sync take through each storage driver, and for how long they hold up the loop.

Part one: batches of 100 bytes to 1 MiB, one at a time, each appended and made durable before the next. The methods
take turns batch by batch, so that whatever else the machine does meets all of them. ``plain`` is ``pwrite`` and
``fdatasync`` on a growing file; ``device`` is the least that a durable write costs here: direct I/O in whole pages over
blocks that were written before, so that there is nothing to allocate and no metadata to sync. Shown are medians,
as ratios to ``plain`` and to ``device``.

Part two: a loop that serves a client at every turn, as a reactor under load does, while four files have a write of
1 MiB in flight all the time. Shown is the longest time for which the client was not served (``stall``); ``idle``
is the same loop with nothing to write, the noise of the machine.
"""

import argparse
import mmap
import os
import selectors
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from walrus.core.actions import Write
from walrus.core.events import WriteFailed
from walrus.io.storage import StorageDriver, ThreadedStorage
from walrus.io.storage_choice import choose
from walrus.io.storage_mmap import MappedFiles
from walrus.io.storage_uring import RingStorage
from walrus.io.wakeup import Wakeup

TURNS = {100: 1000, 1024: 1000, 64 * 1024: 500, 1024 * 1024: 150}
PAGE_BYTES = 4096
STALL_FILES = 4
STALL_BYTES = 1024 * 1024
STALL_FILE_BYTES_MAX = 64 * 1024 * 1024
SWITCH_INTERVAL_S = 0.0005  # as in a node
Append = Callable[[bytes], None]


class Driven:
    """Appends to one file through a driver, as the loop does: submit, wait for the descriptor, take completions."""

    def __init__(self, driver: StorageDriver) -> None:
        self.driver = driver
        self._selector = selectors.DefaultSelector()
        self._selector.register(driver.fileno(), selectors.EVENT_READ)
        self._offset = 0

    def __call__(self, data: bytes) -> None:
        self.driver.submit([Write("driven", self._offset, data, 1)])
        self._offset += len(data)
        while True:
            self._selector.select()
            for event in self.driver.on_ready(selectors.EVENT_READ):
                if isinstance(event, WriteFailed):
                    raise OSError(event.error)
                return

    def close(self) -> None:
        self.driver.close()
        self._selector.close()


class Plain:
    """``pwrite`` and ``fdatasync``."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._offset = 0

    def __call__(self, data: bytes) -> None:
        self._offset += os.pwrite(self._fd, data, self._offset)
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class Device:
    """Direct writes of whole pages over a file that has been written already."""

    def __init__(self, path: Path, size_bytes: int, turns: int) -> None:
        self._pages_bytes = -(-size_bytes // PAGE_BYTES) * PAGE_BYTES
        self._buffer = mmap.mmap(-1, self._pages_bytes)  # aligned, as direct I/O wants it
        with path.open("wb") as file:
            for _ in range(turns):
                file.write(bytes(self._pages_bytes))
            file.flush()
            os.fsync(file.fileno())
        self._fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._offset = 0

    def __call__(self, data: bytes) -> None:
        self._offset += os.pwrite(self._fd, self._buffer, self._offset)
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
        self._buffer.close()


def drivers(directory: Path) -> dict[str, StorageDriver]:
    """Each driver that can be had here, over a directory of its own."""
    made: dict[str, StorageDriver] = {}
    for name in ("mmap", "io_uring"):
        root = directory / name
        root.mkdir()
        if name == "mmap":
            made[name] = ThreadedStorage(MappedFiles(root))
        elif choose(False).name == name:
            made[name] = RingStorage(root)
    return made


def append_times_us(size_bytes: int, turns: int, directory: Path) -> dict[str, list[float]]:
    """Each method's times, method by method within each turn; the order rotates."""
    with ExitStack() as stack:
        methods: dict[str, Append] = {}
        for name, driver in drivers(directory).items():
            methods[name] = driven = Driven(driver)
            stack.callback(driven.close)
        methods["plain"] = plain = Plain(directory / "plain")
        stack.callback(plain.close)
        methods["device"] = device = Device(directory / "device", size_bytes, turns)
        stack.callback(device.close)
        data = b"x" * size_bytes
        times: dict[str, list[float]] = {name: [] for name in methods}
        names = list(methods)
        for turn in range(turns):
            for place in range(len(names)):
                name = names[(turn + place) % len(names)]
                began = time.perf_counter_ns()
                methods[name](data)
                times[name].append((time.perf_counter_ns() - began) / 1000)
    return times


def appends_table(turns_share: float, data_dir: Path) -> Iterator[str]:
    yield "     batch  method      median us    p99 us   to plain  to device"
    for size_bytes, turns in TURNS.items():
        with tempfile.TemporaryDirectory(prefix="walrus-storage-", dir=data_dir) as directory:
            times = append_times_us(size_bytes, max(20, int(turns * turns_share)), Path(directory))
        middles = {name: statistics.median(each) for name, each in times.items()}
        for name, middle in middles.items():
            p99 = statistics.quantiles(times[name], n=100)[98]
            ratios = f"{middle / middles['plain']:9.2f}  {middle / middles['device']:9.2f}"
            yield f"{size_bytes:10}  {name:10}  {middle:9.0f} {p99:9.0f}  {ratios}"


class Load:
    """Four files with a write of 1 MiB in flight all the time."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._offsets = [0] * STALL_FILES
        self._data = b"x" * STALL_BYTES
        self.written = 0
        self._driver.submit([self._next(number) for number in range(STALL_FILES)])

    def take(self) -> None:
        done = self._driver.on_ready(selectors.EVENT_READ)
        for event in done:
            if isinstance(event, WriteFailed):
                raise OSError(event.error)
        self.written += len(done)
        if done:
            self._driver.submit([self._next(event.token) for event in done])  # type: ignore[attr-defined]

    def _next(self, number: int) -> Write:
        offset = self._offsets[number]
        self._offsets[number] = (offset + STALL_BYTES) % STALL_FILE_BYTES_MAX
        return Write(f"load-{number}", offset, self._data, number)


def stall(seconds: float, selector: selectors.BaseSelector, inline: Callable[[], None] | None) -> tuple[float, float]:
    """Run a loop that serves a client at every turn; the longest and the 99.9th percentile of its waits, in ms."""
    client = Wakeup()
    client.set()  # and never cleared: it always has something to say
    selector.register(client.fileno(), selectors.EVENT_READ, None)
    waits: list[int] = []
    served_ns = time.perf_counter_ns()
    end_ns = served_ns + int(seconds * 1e9)
    while served_ns < end_ns:
        for key, _ in selector.select():
            if key.data is not None:
                key.data.take()
        if inline is not None:
            inline()
        now_ns = time.perf_counter_ns()
        waits.append(now_ns - served_ns)
        served_ns = now_ns
    selector.unregister(client.fileno())
    client.close()
    return max(waits) / 1e6, statistics.quantiles(waits, n=1000)[998] / 1e6


def stalls_table(seconds: float, data_dir: Path) -> Iterator[str]:
    yield "method      longest ms  p99.9 ms   MiB/s written and synced"
    with tempfile.TemporaryDirectory(prefix="walrus-storage-", dir=data_dir) as name, ExitStack() as stack:
        directory = Path(name)
        with selectors.DefaultSelector() as selector:
            yield "idle        {:10.2f} {:9.3f}".format(*stall(seconds, selector, None))
        for method, driver in drivers(directory).items():
            stack.callback(driver.close)
            with selectors.DefaultSelector() as selector:
                load = Load(driver)
                selector.register(driver.fileno(), selectors.EVENT_READ, load)
                longest, most = stall(seconds, selector, None)
            yield f"{method:10}  {longest:10.2f} {most:9.3f}   {load.written / seconds:6.0f}"
        plain = [Plain(directory / f"plain-{number}") for number in range(STALL_FILES)]
        data, written = b"x" * STALL_BYTES, [0]

        def inline() -> None:
            plain[written[0] % STALL_FILES](data)
            written[0] += 1

        with selectors.DefaultSelector() as selector:
            longest, most = stall(seconds, selector, inline)
        yield f"plain       {longest:10.2f} {most:9.3f}   {written[0] / seconds:6.0f}"
        for file in plain:
            file.close()


def file_system(directory: Path) -> str:
    """The type of the file system that a directory is on, as the kernel calls it."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == wanted:
            return rest.split()[0]
    return "unknown"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("/var/tmp"), help="a directory on the disk (/var/tmp)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of batches (1.0)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each loop of part two (3); 0: leave it out")
    options = parser.parse_args(argv)
    kind = file_system(options.data_dir)
    if kind == "tmpfs":
        print(
            f"storage: {options.data_dir} is memory (tmpfs), where a sync costs nothing; use --data-dir",
            file=sys.stderr,
        )
        return 2
    print(f"{options.data_dir} on {kind}; io_uring: {choose(False)}", flush=True)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    for line in appends_table(options.share, options.data_dir):
        print(line, flush=True)
    if options.seconds > 0:
        print()
        for line in stalls_table(options.seconds, options.data_dir):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
