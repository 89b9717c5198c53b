"""The page in a real browser: it draws, filters, zooms, tells, and asks no network for anything."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import MS, made_up

from walrus.sim.recording import Recording
from walrus.sim.show import page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

HOSTILE = "</script><script>document.title='broken in'</script><img src=x onerror=document.title='broken in'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Shown:
    """A page that is open. ``asked``: requests but for the file itself; ``errors``: what the console complained of."""

    def __init__(self, browser: Any, path: Path, *, javascript: bool = True) -> None:
        context = browser.new_context(java_script_enabled=javascript, viewport={"width": 1400, "height": 900})
        self.tab = context.new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("console", lambda message: self.errors.append(message.text))
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.goto(path.as_uri())
        if javascript:
            self.tab.wait_for_selector("html[data-ready=yes]")
            self.tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def status(self) -> str:
        return str(self.tab.inner_text("#status"))


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Any:
    def opened(recording: Recording, **options: bool) -> Shown:
        path = tmp_path / "run.html"
        path.write_text(page(recording), encoding="utf-8")
        return Shown(browser, path, **options)

    return opened


@pytest.mark.parametrize("messages", [50, 50_000])
def test_a_run_of_any_size_is_drawn_without_a_request_or_a_complaint(show: Any, messages: int) -> None:
    shown = show(made_up(messages))
    assert "in view" in shown.status()
    assert [url for url in shown.asked if not url.startswith(("file:", "data:"))] == []
    assert shown.errors == []
    drawn = shown.tab.evaluate(
        "() => new Set(document.querySelector('#diagram').getContext('2d').getImageData(200, 30, 600, 500).data).size"
    )
    assert drawn > 10


def test_zooming_in_shows_less_time_and_the_whole_run_comes_back(show: Any) -> None:
    shown = show(made_up(50))
    whole = shown.status()
    shown.tab.keyboard.press("+")
    assert shown.status() != whole
    shown.tab.keyboard.press("0")
    assert shown.status() == whole


def test_a_kind_of_message_can_be_left_out(show: Any) -> None:
    shown = show(made_up(50))
    shown.tab.click("#kinds summary")
    before = shown.status()
    shown.tab.uncheck("input[data-kind=Append]")
    assert shown.status() != before


def test_only_one_topic_can_be_shown(show: Any) -> None:
    shown = show(made_up(50))
    appends = sum(message.topic == "logs:1" for message in made_up(50).messages)
    shown.tab.select_option("#topic", "logs")
    assert f"{appends} message" in shown.status()


def test_a_search_finds_a_message_and_shows_its_content(show: Any) -> None:
    shown = show(made_up(200))
    shown.tab.fill("#search", "number=177)")
    playwright.expect(shown.tab.locator("#found")).to_have_text("1 hit")
    shown.tab.press("#search", "Enter")
    playwright.expect(shown.tab.locator("#content")).to_contain_text("number=177)")


def test_a_click_on_a_request_shows_it(show: Any) -> None:
    shown = show(made_up(50))
    box = shown.tab.locator("#diagram").bounding_box()
    x = 74 + (4.5 * MS / (70 * MS)) * (box["width"] - 74)
    shown.tab.mouse.click(box["x"] + x, box["y"] + box["height"] - 22 * 1.5)
    shown.tab.wait_for_selector("#details:not([hidden])")
    assert "PUT logs" in shown.tab.inner_text("#details")


def test_the_violation_is_marked_in_its_place_and_can_be_gone_to(show: Any) -> None:
    shown = show(made_up(50, violation="one writer: node 2 and node 3"))
    assert shown.tab.is_visible("#violation")
    assert shown.tab.locator("#story li.violated").count() == 1
    before = shown.status()
    shown.tab.click("#to-violation")
    assert shown.status() != before
    red = shown.tab.evaluate(
        """() => {
          const canvas = document.querySelector('#diagram'), middle = Math.round((canvas.width + 74) / 2);
          const pixels = canvas.getContext('2d').getImageData(middle - 3, 300, 7, 1).data;
          return [...Array(7).keys()].some((n) => pixels[4 * n] > 150 && pixels[4 * n + 1] < 90);
        }"""
    )
    assert red


def test_what_a_record_holds_stays_text(show: Any) -> None:
    shown = show(made_up(5, content=HOSTILE, violation=HOSTILE))
    shown.tab.fill("#search", "onerror")
    playwright.expect(shown.tab.locator("#found")).to_have_text("1 hit")
    shown.tab.press("#search", "Enter")
    playwright.expect(shown.tab.locator("#content")).to_contain_text(HOSTILE)
    assert shown.tab.title() != "broken in"


def test_without_scripts_the_story_is_still_told(show: Any) -> None:
    shown = show(made_up(5, violation="order: it was not kept"), javascript=False)
    assert "order: it was not kept" in shown.tab.inner_text("body")
    assert "node 3 says <b>2</b>" in shown.tab.inner_text("#story")
