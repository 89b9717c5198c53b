"""The REPL of walrus-cli: a line is a request, its reply is printed as it came.

Quotes around a payload are the shell's, not the payload's. A line may also be ``help``, ``exit``, ``quit`` or
``q``. Without a terminal the lines of standard input are taken, so that a session can be piped in.
"""

import re
import sys
from collections.abc import Iterable
from typing import BinaryIO

from walrus.cli.output import pretty_json
from walrus.client import WalrusClient, WalrusError
from walrus.client.calls import Call

LEAVING = (b"exit", b"quit", b"q")
TOPIC_VERBS = ("REGISTER", "PUT", "GET", "FETCH", "STATE", "CREATE", "SET", "INFO", "DELETE")
VERBS = (*TOPIC_VERBS, "TOPICS", "NODES", "NODE", "METRICS")
HELP = b"""REGISTER <topic>                  create a topic
PUT <topic> <payload>             append a record
GET <topic>                       take the next record at the topic's shared cursor
FETCH <topic> <segment> <offset>  read a record, moving nothing
STATE <topic>                     segments and leaders of a topic
CREATE <topic> [<name>=<value>..] create a topic with settings: retention_ms, retention_bytes,
                                  retention_records
SET <topic> <name>=<value>..      change settings of a topic
INFO <topic>                      settings of a topic
DELETE <topic>                    delete a topic with all its records
TOPICS                            names of all topics
NODES                             all nodes
NODE <action> <node>              STATUS, DRAIN, UNDRAIN, REMOVE or REPLACE
METRICS                           the node's view of the cluster
exit, quit, q, Ctrl-C, Ctrl-D     leave
"""

_DOUBLE_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE_QUOTED = re.compile(rb"'([^']*)'")
_ESCAPE = re.compile(rb'\\(["\\])')
_JSON_VERBS = (b"STATE", b"INFO", b"METRICS", b"TOPICS", b"NODES", b"NODE")


def parse_line(line: bytes) -> Call:
    """The request in a line that is not blank: its parts may be apart by any white space, and be quoted."""
    parts = line.strip().split(None, 2)
    return Call(b" ".join([parts[0], *(unquote(part) for part in parts[1:])]))


def unquote(text: bytes) -> bytes:
    r"""``text`` without the one pair of quotes around it, if it has just that.

    Within double quotes ``\"`` and ``\\`` stand for ``"`` and ``\``, as in a shell. Anything else is left
    alone: ``{"a": "b"}`` and ``"a" and "b"`` are what they look like.
    """
    if double := _DOUBLE_QUOTED.fullmatch(text):
        return _ESCAPE.sub(rb"\1", double[1])
    if single := _SINGLE_QUOTED.fullmatch(text):
        return single[1]
    return text


def respond(client: WalrusClient, line: bytes, *, pretty: bool) -> bytes:
    """Send the request in ``line`` (not blank); return what to print for it, without a line end."""
    call = parse_line(line)
    reply = client.call(call)
    if pretty and call.body.split(b" ", 1)[0] in _JSON_VERBS:
        return pretty_json(reply)
    return reply


def run_lines(client: WalrusClient, lines: Iterable[bytes], output: BinaryIO, *, pretty: bool) -> WalrusError | None:
    """Answer each line until one says to leave; return the first error that was not a node's reply."""
    first: WalrusError | None = None
    for line in lines:
        word = line.strip()
        if word in LEAVING:
            break
        if not word:
            continue
        try:
            shown = HELP.rstrip() if word == b"help" else respond(client, line, pretty=pretty)
        except WalrusError as error:
            print(error, file=sys.stderr)
            first = first or error
            continue
        output.write(shown + b"\n")
        output.flush()
    return first
