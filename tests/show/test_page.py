"""The page as text: it holds everything, asks for nothing, and runs nothing that is not its own."""

import base64
import json
import re
import zlib

from made_up_runs import made_up

from walrus.sim.show import page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def unpacked(text: str, block: str) -> object:
    """The data in one of the page's blocks."""
    match = re.search(rf'id="{block}">([^<]*)<', text)
    assert match is not None
    return json.loads(zlib.decompress(base64.b64decode(match[1])))


def test_all_messages_and_their_contents_are_in_the_page() -> None:
    recording = made_up(50)
    text = page(recording)
    drawn = unpacked(text, "drawn")
    assert isinstance(drawn, dict)
    assert len(drawn["messages"]["sent"]) == 50
    contents = unpacked(text, "texts")
    assert isinstance(contents, list)
    assert {message.content for message in recording.messages} <= set(contents)


def test_nothing_outside_is_asked_for_and_only_the_page_s_own_scripts_may_run() -> None:
    text = page(made_up(50))
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert text.count("<script") == 3


def test_contents_and_lines_cannot_become_markup() -> None:
    text = page(made_up(5, content=HOSTILE, violation=f"order: {HOSTILE}"))
    assert "<img" not in text
    assert "alert(1)</script>" not in text
    assert "&lt;b&gt;3&lt;/b&gt;" in text


def test_verdict_violation_command_and_story_are_plain_text_of_the_page() -> None:
    text = page(made_up(5, violation="one writer: node 2 and node 3 both write logs:1\nat length"))
    for expected in ("one writer: node 2 and node 3 both write logs:1", "walrus-sim --seed 5", "node 3 says"):
        assert expected in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_same_recording_is_the_same_page() -> None:
    assert page(made_up(30)) == page(made_up(30))
