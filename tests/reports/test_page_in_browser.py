"""The report's page in a real browser: as it is seen, pointed at, typed through and read aloud."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import catscale
import pytest
from catscale.reports.page import write_report
from catscale.search.rows import Row
from catscale.search.status import read_study

from ..browser import Browser
from .conftest import ROWS, known, make_study

LAPTOP, PHONE = 1366, 390
# Dominated ones, so many that the table has a second page; the search found them in this order of AP.
CROWD = [
    Row(n, "complete", values={"width": 0.4}, figures=known(0.01 + n / 2000, 1.0 + n / 100, 6e5, 1), name=f"crowd{n}")
    for n in range(8, 120)
]
STOPPED = Row(7, "stopped", "0.02 after epoch 2, at most 0.03; trial 1 has 0.35", values={"width": 0.6},
              figures=known(0.02, 1.2, 7e5, 3), name="s")  # fmt: skip


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    folder = make_study(place, [*ROWS, STOPPED, *CROWD])
    architecture = catscale.load("yolov7-tiny")
    for number, width in ((0, 1.0), (1, 0.5)):
        scaled = architecture.scale(width=width).to_yaml()
        (folder / "trials" / str(number) / "architecture.yaml").write_text(scaled)
    write_report([read_study(folder)], place / "out")
    return place / "out" / "index.html"


@pytest.fixture
def laptop(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def place_of(browser: Browser, selector: str) -> tuple[float, float]:
    """The middle of an element, brought into the window."""
    return tuple(
        browser.run(
            f"(() => {{ const it = document.querySelector({selector!r}); it.scrollIntoView({{block: 'center', "
            "behavior: 'instant'}); const box = it.getBoundingClientRect(); "
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
    )


def point_of(browser: Browser, trial: int) -> tuple[float, float]:
    """Where the front's figure has a trial, in the window."""
    return tuple(
        browser.run(
            "(() => { const figure = document.querySelector('figure'), svg = figure.querySelector('svg'); "
            "svg.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const mark = JSON.parse(figure.querySelector('script.marks').textContent).find((it) => it[0] === "
            f"{trial}), box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width; "
            "return [box.left + mark[1] * scale, box.top + mark[2] * scale]; })()"
        )
    )


def column(browser: Browser, index: int) -> list[str]:
    cells = f"[...document.querySelectorAll('.all-trials tbody tr')].map((row) => row.cells[{index}].innerText)"
    return [text.split()[0] for text in browser.run(cells)]


def press_heading(browser: Browser, heading: str) -> str:
    """Press a heading of the table of all trials; gives its aria-sort."""
    browser.run(
        f"[...document.querySelectorAll('.all-trials th button')].find((it) => it.textContent === {heading!r}).click()"
    )
    return browser.run("document.querySelector('.all-trials th[aria-sort]').getAttribute('aria-sort')")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [LAPTOP, PHONE])
def test_it_loads_without_a_complaint_or_a_request_and_fits(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width, dark=dark)
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.run("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('table')].every((it) => it.closest('.scroll').clientWidth < innerWidth)"
    assert browser.run(wide)


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_their_ground(browser: Browser, page: Path, dark: bool) -> None:
    """At least 4.5 to 1. Source: WCAG 2.2, 1.4.3."""
    browser.open(page, dark=dark)
    least = browser.run(
        """(() => {
        const light = (colour) => {
            const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((value) => {
                const share = value / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (element) => {
            for (let it = element; it; it = it.parentElement) {
                const colour = getComputedStyle(it).backgroundColor;
                if (!/, 0\\)$/.test(colour)) return colour;
            }
            return "rgb(255, 255, 255)";
        };
        const words = [...document.querySelectorAll("p, dt, dd, th, td, a, small, figcaption, summary, .mark, .quiet")];
        // Bold numbers have the colour of their line.
        const texts = [...document.querySelectorAll("figure svg text")].filter((it) => it.textContent.trim());
        const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        return Math.min(
            ...words.filter((it) => it.innerText && it.tagName !== "circle").map((it) =>
                ratio(light(getComputedStyle(it).color), light(ground(it)))),
            ...texts.filter((it) => !["bold", "700"].includes(it.style.fontWeight)).map((it) =>
                ratio(light(getComputedStyle(it).fill), light(ground(it)))));
        })()"""
    )
    assert least >= 4.5


def test_it_has_landmarks_headings_in_order_and_named_figures(laptop: Browser) -> None:
    nodes = laptop.call("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in nodes if not node["ignored"]]
    roles = [node["role"]["value"] for node in seen]
    assert all(roles.count(landmark) == 1 for landmark in ("banner", "navigation", "main"))
    levels = [
        next(it["value"]["value"] for it in node["properties"] if it["name"] == "level")
        for node in seen
        if node["role"]["value"] == "heading"
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    drawings = "[...document.querySelectorAll('figure svg')].map((it) => it.getAttribute('aria-label'))"
    assert all(laptop.run(drawings))
    links = [node["name"]["value"] for node in seen if node["role"]["value"] == "link"]
    assert "Trial 1: AP 0.350, FLOPs 1.50 G" in links
    tables = [node["name"]["value"] for node in seen if node["role"]["value"] == "table"]
    assert any(name.startswith("Every trial") for name in tables)


def test_the_first_key_leads_past_the_contents(laptop: Browser) -> None:
    laptop.press("Tab")
    assert laptop.run("document.activeElement.textContent") == "Skip to the results"
    assert laptop.run("document.activeElement.getBoundingClientRect().left") >= 0
    laptop.press("Enter")
    laptop.wait("document.activeElement.id === 'content'")


def test_whatever_has_the_focus_is_seen_to_have_it(laptop: Browser) -> None:
    laptop.run("document.querySelector('.all-trials th button').focus({preventScroll: true})")
    laptop.press("Tab")
    assert laptop.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_headings_sort_numbers_as_numbers_and_what_is_unknown_last(laptop: Browser) -> None:
    assert press_heading(laptop, "AP") == "ascending"
    assert column(laptop, 2)[:3] == ["0.014", "0.015", "0.015"]
    assert press_heading(laptop, "AP") == "descending"
    assert column(laptop, 2)[:3] == ["0.350", "0.300", "0.100"]
    laptop.run("document.querySelector('.pager .on').click()")
    assert column(laptop, 2)[-2:] == ["–", "–"]
    assert laptop.run("document.querySelectorAll('.all-trials th[aria-sort]').length") == 1


def test_the_front_sorts_too(laptop: Browser) -> None:
    rows = "[...document.querySelectorAll('table.sortable')][0]"
    laptop.run(f"{rows}.querySelectorAll('th button')[2].click()")
    sorted_ = laptop.run(f"[...{rows}.tBodies[0].rows].map((row) => row.cells[2].innerText)")
    assert sorted_ == sorted(sorted_, key=float)


def test_many_trials_are_shown_a_page_at_a_time_and_by_state(laptop: Browser) -> None:
    assert len(column(laptop, 0)) == 100
    assert laptop.run("document.querySelector('.where').textContent") == "1 – 100 of 120"
    laptop.run("document.querySelector('.pager .on').click()")
    assert column(laptop, 0) == [str(number) for number in range(100, 120)]
    assert laptop.run("document.querySelector('.pager .on').disabled")
    laptop.run("(() => { const it = document.querySelector('.states'); it.value = 'stopped'; "
               "it.dispatchEvent(new Event('change')); })()")  # fmt: skip
    assert column(laptop, 0) == ["7"]
    assert laptop.run("document.querySelector('.pager').hidden")


def test_pointing_at_a_point_tells_of_its_trial(laptop: Browser) -> None:
    x, y = point_of(laptop, 1)
    laptop.move(x + 3, y - 2)
    told = laptop.run("tip.hidden ? '' : tip.innerText")
    assert told.startswith("Trial 1, on the Pareto front\n")
    assert "0.350" in told
    assert laptop.run("tip.getBoundingClientRect().right") <= LAPTOP
    laptop.move(5, 5)
    assert laptop.run("tip.hidden")


def test_a_click_on_the_front_opens_the_trials_part_of_the_page(laptop: Browser) -> None:
    laptop.move(*point_of(laptop, 2), click=True)
    assert laptop.run("location.hash") == "#small-trial-2"
    assert laptop.run("document.activeElement.id") == "small-trial-2"


def test_a_click_on_another_point_shows_its_line_of_the_table(laptop: Browser) -> None:
    laptop.move(*point_of(laptop, 118), click=True)
    assert laptop.run("document.querySelector('tr.found').cells[0].innerText") == "118"


def test_points_of_the_front_are_reached_by_keys(laptop: Browser) -> None:
    laptop.run("document.querySelector('#small-fronts').scrollIntoView({behavior: 'instant'})")
    laptop.run("[...document.querySelectorAll('nav a')].pop().focus()")
    for _ in range(2):  # past what can be scrolled before the figure
        laptop.press("Tab")
        if laptop.run("document.activeElement.getAttribute('aria-label')?.startsWith('Trial')"):
            break
    assert laptop.run("document.activeElement.getAttribute('aria-label')").startswith("Trial 2: AP 0.100")
    assert laptop.run("tip.innerText").startswith("Trial 2, on the Pareto front")
    laptop.press("Enter")
    laptop.wait("location.hash === '#small-trial-2'")


PARALLEL = "document.querySelector('svg[aria-label^=Parallel]')"


def middle_of_line(browser: Browser, trial: int) -> tuple[float, float]:
    """Between the first two axes of the parallel coordinates, in the window."""
    return tuple(
        browser.run(
            f"(() => {{ const svg = {PARALLEL}; svg.scrollIntoView({{block: 'center', behavior: 'instant'}}); "
            "const marks = JSON.parse(svg.closest('figure').querySelector('script.marks').textContent); "
            f"const [, x, y, right, far] = marks.find((it) => it[0] === {trial}), box = svg.getBoundingClientRect(); "
            "const scale = box.width / svg.viewBox.baseVal.width; "
            "return [box.left + (x + right) / 2 * scale, box.top + (y + far) / 2 * scale]; })()"
        )
    )


@pytest.mark.parametrize(("trial", "word"), [(1, ", on the Pareto front"), (118, "")])
def test_pointing_at_a_line_tells_of_its_trial_and_draws_it_out(laptop: Browser, trial: int, word: str) -> None:
    x, y = middle_of_line(laptop, trial)
    laptop.move(x, y)
    assert laptop.run("tip.innerText").split("\n")[0] == f"Trial {trial}{word}"
    assert len(laptop.run(f"{PARALLEL}.querySelector('.near').getAttribute('points')").split()) == 2 * 3
    laptop.move(5, 5)
    assert laptop.run("tip.hidden")
    assert laptop.run(f"{PARALLEL}.querySelector('.near').getAttribute('points')") == ""


def test_a_click_on_a_line_opens_the_trials_part_of_the_page(laptop: Browser) -> None:
    laptop.move(*middle_of_line(laptop, 2), click=True)
    assert laptop.run("document.activeElement.id") == "small-trial-2"


def test_lines_of_the_front_are_reached_by_keys(laptop: Browser) -> None:
    laptop.run(f"{PARALLEL}.querySelector('a').focus({{preventScroll: true}})")
    laptop.press("Tab")
    label = laptop.run("document.activeElement.getAttribute('aria-label')")
    assert label == "Trial 1: AP 0.350, FLOPs 1.50 G"
    assert laptop.run("tip.innerText").startswith("Trial 1, on the Pareto front")
    laptop.press("Enter")
    laptop.wait("location.hash === '#small-trial-1'")


def test_an_architecture_is_unpacked_when_it_is_opened(laptop: Browser) -> None:
    laptop.run("document.querySelector('#small-trial-1 summary').click()")
    laptop.wait("document.querySelector('#small-trial-1 .paper svg') !== null")
    assert "backbone" in laptop.run("document.querySelector('#small-trial-1 .paper').textContent").lower()
    assert laptop.complaints() == []
    assert laptop.run("document.documentElement.scrollWidth") == LAPTOP


def test_two_studies_on_one_page_keep_apart(browser: Browser, tmp_path: Path) -> None:
    records: list[Any] = [read_study(make_study(tmp_path, ROWS)), read_study(make_study(tmp_path, ROWS, name="other"))]
    write_report(records, tmp_path / "out")
    browser.open(tmp_path / "out" / "index.html", PHONE)
    assert browser.complaints() == []
    assert browser.run("document.documentElement.scrollWidth") == PHONE
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4, h5')].map((it) => Number(it.tagName[1]))")
    assert all(after <= before + 1 for before, after in pairwise(levels))
