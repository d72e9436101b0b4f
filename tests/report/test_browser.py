"""The report in a real browser, opened from disk: ``make test-browser``."""

from __future__ import annotations

import pytest
from support.browser import chromium
from support.made_results import write_results

from larpbench.report.site import write_report
from larpbench.results.results import load_results
from larpbench.results.sheet import text_sheet
from larpbench.results.writers import write_sheet

pytestmark = pytest.mark.browser
ROWS = "tr[data-text]"
FIRST = "section:first-of-type "


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return write_results(
        folder / "results", [*(f"encoder-{n}" for n in range(5)), "broken", "<script>alert(1)</script>", "random"],
        ("itemknn", "ridge"), ("one", "two"), failed=("broken",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    write_sheet(text_sheet("A figure", ("a", "b"), (("1", "2"),), ("A note.",), ()), folder, "figure3")
    (folder / "figure3.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>parent.document.title = 'x'</script>"
        "<image href='http://127.0.0.1:9/x.png' width='9' height='9'/></svg>"
    )
    return write_report(results, tmp_path_factory.mktemp("site") / "report", reproduced=folder, everything=True).parent


@pytest.fixture(scope="module")
def started(site, tmp_path_factory):
    with chromium(site, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(started):
    started.width(1280)
    started.media(prefers_color_scheme="light")
    started.complaints(), started.requests()
    yield started
    assert started.complaints() == []
    here = (f"file://{started.site}/", "data:image/svg+xml;base64,")
    assert [url for url in started.requests() if not url.startswith(here)] == []


@pytest.fixture(scope="module")
def paths(site):
    one_of_each = [next(site.glob(f"{folder}/*.html")) for folder in ("cells", "compare", "encoders", "playlists")]
    broken = next(site.glob("cells/broken-*.html"))
    return [path.relative_to(site).as_posix() for path in (*sorted(site.glob("*.html")), *one_of_each, broken)]


def column(browser, number):
    return [row.find_elements("css selector", "th, td")[number].text for row in browser.shown(f"{FIRST}{ROWS}")]


def choose(browser, label, value):
    select = browser.driver.find_element("xpath", f"//label[starts-with(normalize-space(), '{label}')]/select")
    next(option for option in select.find_elements("css selector", "option") if option.text == value).click()


def test_a_heading_sorts_and_says_so(browser, results):
    browser.open("index.html")
    head = browser.one(f"{FIRST}th[aria-sort]")
    assert (head.text.split()[0], head.get_attribute("aria-sort")) == ("Recall@10", "descending")
    values = {f"{row.scores['ndcg@20'].value:.4f}" for row in load_results(results)[0].rows if row.scores}
    button = next(each for each in browser.all(f"{FIRST}thead button") if each.text == "NDCG@20")
    for direction in ("descending", "ascending"):
        button.click()
        browser.until(lambda where=direction: f"Sorted by NDCG@20, {where}." in browser.one("#said").text)
        assert browser.one(f"{FIRST}th[aria-sort]").text == "NDCG@20"
        scores = [text.split()[0] for text in column(browser, 7) if text]
        assert set(scores) == values
        assert scores == sorted(scores, reverse=direction == "descending")
        assert column(browser, 3)[-2:] == ["failed", "failed"]
    assert [each.text.split()[0] for each in browser.all(f"{FIRST}tfoot th")] == ["chance", "ceiling"]


def test_filters_narrow_the_rows_down(browser):
    browser.open("index.html")
    assert browser.one("#said").text == "32 of 32 rows shown."
    choose(browser, "Data set", "two")
    assert browser.one("#said").text == "16 of 32 rows shown."
    assert [each.text for each in browser.shown("section h2")] == ["continuation: two"]
    choose(browser, "Recommender", "ridge")
    choose(browser, "Modality", "audio")
    shown = [row.find_element("css selector", "th").text for row in browser.shown(ROWS)]
    assert sorted(shown) == ["<script>alert(1)</script>", "encoder-0", "encoder-2", "encoder-4"]
    browser.one("input[type=search]").send_keys("ENCODER")
    choose(browser, "Licence", "MIT")
    assert [row.find_element("css selector", "th").text for row in browser.shown(ROWS)] == ["encoder-4"]
    browser.one("button[type=reset]").click()
    browser.until(lambda: browser.one("#said").text == "32 of 32 rows shown.")


def test_sorting_keeps_what_is_filtered(browser):
    browser.open("index.html")
    choose(browser, "Recommender", "ridge")
    browser.all(f"{FIRST}thead button")[0].click()
    browser.until(lambda: "Sorted by Encoder" in browser.one("#said").text)
    assert set(column(browser, 1)) == {"ridge"}
    assert len(column(browser, 0)) == 8


def test_two_encoders_are_compared(browser):
    browser.open("compare.html")
    next(link for link in browser.all("main a") if link.text == "continuation: one with itemknn").click()
    choose(browser, "One encoder", "encoder-3")
    assert browser.one("#said").text == "6 of 21 rows shown."
    choose(browser, "Another encoder", "random")
    (row,) = browser.shown(ROWS)
    assert row.text.startswith("encoder-3 random +0.")
    assert row.text.split()[-1] in ("yes", "no")


def test_a_cell_is_opened_and_leads_back(browser):
    browser.open("index.html")
    browser.one(f"{FIRST}tbody a").click()
    assert browser.one("h1").text.endswith(("with itemknn", "with ridge"))
    assert browser.one("svg[role=img]").is_displayed()
    assert not browser.one("details table").is_displayed()
    browser.one("summary").click()
    assert browser.one("details table").is_displayed()
    browser.one("nav[aria-label='Where this is'] a").click()
    assert browser.driver.current_url.endswith("index.html#table-1")


def test_everything_works_by_keyboard(browser):
    from selenium.webdriver.common.keys import Keys

    def focused():
        return browser.driver.switch_to.active_element

    browser.open("index.html")
    browser.press(Keys.TAB)
    assert focused().text == "Skip to the content"
    assert focused().is_displayed()
    browser.press(Keys.ENTER)
    browser.press(Keys.TAB)
    assert focused().get_attribute("type") == "search"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("random")
    browser.until(lambda: browser.one("#said").text == "4 of 32 rows shown.")
    for _ in range(20):
        browser.press(Keys.TAB)
        if focused().tag_name == "button" and focused().text == "Recommender":
            break
    browser.press(Keys.SPACE)
    browser.until(lambda: "Sorted by Recommender, descending." in browser.one("#said").text)
    browser.press(Keys.ENTER)
    browser.until(lambda: "Sorted by Recommender, ascending." in browser.one("#said").text)
    for _ in range(20):
        browser.press(Keys.TAB)
        if focused().tag_name == "a":
            break
    browser.press(Keys.ENTER)
    browser.until(lambda: "random with itemknn" in browser.one("h1").text)


def test_focus_goes_in_the_order_of_the_page(browser):
    from selenium.webdriver.common.keys import Keys

    browser.open("index.html")
    places = []
    for _ in range(30):
        browser.press(Keys.TAB)
        places.append(
            browser.run(
                "return [...document.querySelectorAll('*')].indexOf(document.activeElement) "
                "* (document.activeElement.getClientRects().length ? 1 : -1)"
            )
        )
    assert places == sorted(places)
    assert min(places) > 0
    assert len(set(places)) == 30


def test_a_narrow_screen_never_scrolls_sideways(browser, paths):
    browser.width(360)
    for path in paths:
        browser.open(path)
        assert browser.run("return document.documentElement.scrollWidth") <= 360, path


def test_dark_and_light(browser, paths):
    browser.open(paths[0])
    lightness = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => +a + +b) / 3"
    assert browser.run(lightness) > 200
    browser.media(prefers_color_scheme="dark")
    assert browser.run(lightness) < 60


def test_on_paper_there_are_no_controls(browser):
    browser.open("index.html")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not browser.one("form").is_displayed()
        assert not browser.one("header nav").is_displayed()
        assert browser.run("return getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"
        browser.width(1047)  # A4 across, less margins
        assert browser.run("return document.documentElement.scrollWidth") <= 1047
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_names_from_data_run_nothing(browser, paths):
    for path in paths:
        browser.open(path)
        assert browser.driver.title.endswith("· larpbench"), path
    browser.open("index.html")
    assert "<script>alert(1)</script>" in browser.one("main").text
    blocked = browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script); return window.ran === undefined"
    )
    assert blocked
    assert "Content Security Policy" in "".join(browser.complaints())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(browser, paths, scheme):
    selenium = pytest.importorskip("axe_core_python.selenium")
    browser.media(prefers_color_scheme=scheme)
    for path in paths:
        browser.open(path)
        browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found = selenium.Axe().run(browser.driver)
        broken = [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]]
        assert broken == [], path
        assert len(found["passes"]) > 10


def test_every_column_is_in_view_on_a_usual_screen_and_no_name_breaks_within_a_word(tmp_path, tmp_path_factory):
    names = [
        "larp-ttc@million-playlist-dataset",
        "precomputed:vectors-2024.parquet#embedding",
        "hf-audio:facebook/hubert-base-ls960@layer-9",
        "random",
    ]
    results = write_results(tmp_path / "results", names, ("itemknn", "dropoutnet"), seeds=3)
    site = write_report(results, tmp_path / "report").parent
    cut = """return [...document.querySelectorAll('.wide, .columns')].filter(
        (each) => each.scrollWidth > each.clientWidth).map((each) => each.getAttribute('aria-label'))"""
    lines = """return [...document.querySelectorAll('tbody th bdi')].flatMap(
        (name) => {
            const parts = [];
            for (const node of [...name.childNodes].filter((each) => each.nodeType === Node.TEXT_NODE)) {
                const range = document.createRange();
                range.selectNodeContents(node);
                if (range.getClientRects().length > 1 && !/[ -]/.test(node.textContent)) parts.push(node.textContent);
            }
            return parts;
        })"""
    with chromium(site, tmp_path_factory.mktemp("profile")) as started:
        for width in (1280, 400):
            started.width(width)
            for path in sorted(site.rglob("*.html")):
                started.open(path.relative_to(site).as_posix())
                assert started.run(lines) == [], (width, path)
                assert width < 1280 or started.run(cut) == [], path
