"""The REPL on a terminal: prompt, history, completion of verbs and topic names."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from walrus.cli.repl import HELP, LEAVING, TOPIC_VERBS, VERBS, parse_line, respond
from walrus.client import WalrusClient, WalrusError
from walrus.client.calls import TOPICS, json_of


class RequestCompleter(Completer):
    """Completes the verb, then the topic. ``topics`` is what is known of the cluster, in the order learnt."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        parts = document.text_before_cursor.lstrip().split(" ")
        if len(parts) == 1:
            # Also for a verb begun in small letters: it is the completion that puts it right.
            found = [verb for verb in VERBS if verb.startswith(parts[0].upper())]
        elif len(parts) == 2 and parts[0] in TOPIC_VERBS:
            found = [topic for topic in self.topics if topic.startswith(parts[1])]
        else:
            return
        for text in found:
            yield Completion(text, start_position=-len(parts[-1]))


def open_history(environment: dict[str, str]) -> History:
    """History in ``$XDG_STATE_HOME/walrus/history``, else ``~/.walrus_history``; in memory where none can be.

    The file is its owner's alone, for payloads are in it.
    """
    state_home = environment.get("XDG_STATE_HOME", "")
    try:
        path = Path(state_home, "walrus", "history") if state_home else Path.home() / ".walrus_history"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        return InMemoryHistory()
    return FileHistory(str(path))


def learn_topics(client: WalrusClient, completer: RequestCompleter) -> None:
    """Ask the cluster for its topics. Without them the REPL only completes less, so a refusal is no error."""
    reply = client.call(TOPICS)
    if reply.startswith(b"["):
        completer.topics = json_of(reply)


def run_prompt(client: WalrusClient, history: History, output: BinaryIO) -> None:
    """Prompt for requests on the terminal until the user leaves; errors are printed and do not end it."""
    completer = RequestCompleter()
    session: PromptSession[str] = PromptSession("> ", completer=completer, history=history)
    try:
        learn_topics(client, completer)
        print(f"connected to {client.address}; help lists the requests, exit leaves", file=sys.stderr)
    except WalrusError as error:
        print(error, file=sys.stderr)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            for text in session.prompt().split("\n"):  # several lines were pasted at once
                # Surrogates are bytes of a terminal that is not UTF-8, kept as they were typed.
                line = text.strip().encode("utf-8", "surrogateescape")
                if line in LEAVING:
                    return
                if line:
                    _answer(client, line, completer, output)


def _answer(client: WalrusClient, line: bytes, completer: RequestCompleter, output: BinaryIO) -> None:
    if line == b"help":
        output.write(HELP)
    else:
        try:
            shown = respond(client, line, pretty=True)
        except WalrusError as error:
            print(error, file=sys.stderr)
            return
        output.write(shown + b"\n\n")
        verb, _, topic = parse_line(line).body.decode("utf-8", "replace").partition(" ")
        if verb == "REGISTER" and shown == b"OK" and topic not in completer.topics:
            completer.topics.append(topic)
    output.flush()
