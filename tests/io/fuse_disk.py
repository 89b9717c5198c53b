"""A disk that does as it is told: a file system in memory, mounted over FUSE by a process of its own.

    python fuse_disk.py DIRECTORY

mounts itself on DIRECTORY and reads orders, one a line, from standard input:

    fail KIND ERRNO    the next request of that kind ends with this error
    refuse KIND ERRNO NAME   all requests of that kind on this file end with this error from now on
    allow KIND         they do no longer
    hold KIND          requests of that kind are not answered from now on
    release KIND       answer them, and no longer hold any
    report requests    nothing: what was printed before its ``done`` is all that has come

KIND is ``read``, ``write``, ``fsync`` (a file's) or ``fsyncdir``. It prints ``mounted``, then ``done`` after each
order, and the name of every such request but reads as it arrives: ``write NAME OFFSET SIZE``, ``fsync NAME``,
``fsyncdir``. It ends with its standard input. One directory, no permissions: what the tests of the drivers need. The
protocol is that of ``linux/fuse.h``, version 7.31.
"""

import ctypes
import errno
import os
import select
import struct
import sys

HEADER = struct.Struct("<IIQQIIIHH")  # length, opcode, unique, node, user, group, process, ...
REPLY = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4Q2I")
LISTED = struct.Struct("<QQII")  # node, where to go on, length of the name, type
OPENED = struct.Struct("<QII")
TRANSFER = struct.Struct("<QQIIQII")  # handle, offset, size, ...
SET_SIZE = 1 << 3
NO_REPLY = ("forget", "batch_forget", "interrupt")
OPCODES = {
    1: "lookup",
    2: "forget",
    3: "getattr",
    4: "setattr",
    10: "unlink",
    12: "rename",
    14: "open",
    15: "read",
    16: "write",
    18: "release",
    20: "fsync",
    25: "flush",
    26: "init",
    27: "opendir",
    28: "readdir",
    29: "releasedir",
    30: "fsyncdir",
    35: "create",
    36: "interrupt",
    38: "destroy",
    42: "batch_forget",
    43: "fallocate",
    45: "rename2",
}
MAX_WRITE_BYTES = 128 * 1024


class Disk:
    """Nodes by number; node 1 is the directory."""

    def __init__(self, directory: str) -> None:
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self.content: dict[int, bytearray] = {}
        self.names: dict[str, int] = {}
        self.next_node = 2
        self.failing: dict[str, int] = {}
        self.refused: dict[tuple[str, int], int] = {}  # (kind, node) -> error
        self.held: dict[str, list[tuple[int, int, bytes]]] = {}
        options = f"fd={self.fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"walrus-test", directory.encode(), b"fuse.walrus", 0, options.encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)

    def serve(self) -> None:
        """Answer one request of the kernel."""
        try:
            request = os.read(self.fd, MAX_WRITE_BYTES + 4096)
        except BlockingIOError:  # whoever asked was killed meanwhile
            return
        _, opcode, unique, node, *_ = HEADER.unpack_from(request)
        kind = OPCODES.get(opcode, "")
        body = request[HEADER.size :]
        if kind in NO_REPLY:
            return
        self.tell(kind, node, body)
        if kind in self.held:
            self.held[kind].append((unique, node, body))
        else:
            self.answer(kind, unique, node, body)

    def tell(self, kind: str, node: int, body: bytes) -> None:
        name = next((name for name, number in self.names.items() if number == node), "?")
        if kind == "write":
            _, offset, size, *_ = TRANSFER.unpack_from(body)
            say(f"write {name} {offset} {size}")
        elif kind == "fsync":
            say(f"fsync {name}")
        elif kind == "fsyncdir":
            say("fsyncdir")

    def answer(self, kind: str, unique: int, node: int, body: bytes) -> None:
        error = self.failing.pop(kind, 0) or self.refused.get((kind, node), 0)
        data = b""
        if not error:
            try:
                data = getattr(self, f"do_{kind}")(node, body) if hasattr(self, f"do_{kind}") else b""
                error = 0 if kind else errno.ENOSYS
            except OSError as refused:
                error = refused.errno or errno.EIO
        os.write(self.fd, REPLY.pack(REPLY.size + len(data), -error, unique) + data)

    def order(self, line: str) -> None:
        verb, kind, *rest = line.split()
        if verb == "fail":
            self.failing[kind] = int(rest[0])
        elif verb == "refuse":
            self.refused[kind, self.names[rest[1]]] = int(rest[0])
        elif verb == "allow":
            self.refused = {key: error for key, error in self.refused.items() if key[0] != kind}
        elif verb == "hold":
            self.held[kind] = []
        elif verb == "release":
            for unique, node, body in self.held.pop(kind):
                self.answer(kind, unique, node, body)
        elif verb != "report":
            raise ValueError(f"unknown order {line!r}")
        say("done")

    # --- what the kernel asks for ---

    def do_init(self, node: int, body: bytes) -> bytes:
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 1 << 5, 12, 9, MAX_WRITE_BYTES, 1, 0, 0, 0, *[0] * 7)

    def do_lookup(self, node: int, body: bytes) -> bytes:
        return self.entry(self.found(body))

    def do_getattr(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self.attributes(node)

    def do_setattr(self, node: int, body: bytes) -> bytes:
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        if valid & SET_SIZE:
            content = self.content[node]
            del content[size:]
            content.extend(bytes(size - len(content)))
        return self.do_getattr(node, body)

    def do_create(self, node: int, body: bytes) -> bytes:
        name = body[16:].rstrip(b"\0").decode()
        number, self.next_node = self.next_node, self.next_node + 1
        self.names[name] = number
        self.content[number] = bytearray()
        return self.entry(number) + OPENED.pack(number, 0, 0)

    def do_open(self, node: int, body: bytes) -> bytes:
        return OPENED.pack(node, 0, 0)

    do_opendir = do_open

    def do_readdir(self, node: int, body: bytes) -> bytes:
        _, start, size, *_ = TRANSFER.unpack_from(body)
        found = b""
        for place, (name, number) in enumerate(list(self.names.items())[start:], start + 1):
            entry = LISTED.pack(number, place, len(name.encode()), 8) + name.encode()
            entry += bytes(-len(entry) % 8)
            if len(found) + len(entry) > size:
                break
            found += entry
        return found

    def do_read(self, node: int, body: bytes) -> bytes:
        _, offset, size, *_ = TRANSFER.unpack_from(body)
        return bytes(self.content[node][offset : offset + size])

    def do_write(self, node: int, body: bytes) -> bytes:
        _, offset, size, *_ = TRANSFER.unpack_from(body)
        content = self.content[node]
        content.extend(bytes(max(0, offset + size - len(content))))
        content[offset : offset + size] = body[TRANSFER.size : TRANSFER.size + size]
        return struct.pack("<II", size, 0)

    def do_fallocate(self, node: int, body: bytes) -> bytes:
        _, offset, length = struct.unpack_from("<QQQ", body)
        content = self.content[node]
        content.extend(bytes(max(0, offset + length - len(content))))
        return b""

    def do_unlink(self, node: int, body: bytes) -> bytes:
        self.found(body)
        del self.names[body.rstrip(b"\0").decode()]
        return b""

    def do_rename(self, node: int, body: bytes, header_bytes: int = 8) -> bytes:
        old, new = body[header_bytes:].rstrip(b"\0").decode().split("\0")
        self.names[new] = self.names.pop(old)
        return b""

    def do_rename2(self, node: int, body: bytes) -> bytes:
        return self.do_rename(node, body, 16)

    def found(self, name: bytes) -> int:
        number = self.names.get(name.rstrip(b"\0").decode())
        if number is None:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return number

    def entry(self, number: int) -> bytes:
        return ENTRY.pack(number, 0, 0, 0, 0, 0) + self.attributes(number)

    def attributes(self, node: int) -> bytes:
        size = 0 if node == 1 else len(self.content[node])
        mode = 0o40755 if node == 1 else 0o100644
        return ATTRIBUTES.pack(node, size, -(-size // 512), 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    disk = Disk(sys.argv[1])
    say("mounted")
    waiting = b""
    while True:
        ready, _, _ = select.select([0, disk.fd], [], [])
        if disk.fd in ready:
            disk.serve()
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                disk.order(line.decode())


if __name__ == "__main__":
    main()
