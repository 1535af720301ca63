"""The HTML report: what it draws equals the data, names cannot break it, and it works in a real browser."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

from browser import HOW, Page, find_browser
from points_oracles import sq_dist_matrix

from pointmetrics import cli
from pointmetrics._report import MAX_VIEWS, charts, colours, views

EVIL = "<img src=x onerror=hit=1>\"'&"
STARTED = re.compile(r"https?://|//cdn|@import|url\(")


def sphere(rng, n):
    points = rng.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two clouds, one of which lacks a cap, and the JSON of the same comparison."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    x, y = sphere(rng, 3000), sphere(rng, 2500)
    np.save(folder / "x.npy", x[x[:, 2] < 0.6])
    np.save(folder / "y.npy", y)
    command = ["compare", str(folder / "x.npy"), str(folder / "y.npy"), "-t", "0.05", "-t", "0.2", "-f", "json"]
    cli.main([*command, "-o", str(folder / "r.json"), "--html", str(folder / "r.html")])
    return folder / "r.html", json.loads((folder / "r.json").read_text())


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A report of two folders: names that are markup, a damaged file, and one without a partner."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(1)
    for k, name in enumerate((EVIL, "x</script><b>y", "plain")):
        points = sphere(rng, 400)
        for side, cloud in (("A", points + rng.normal(size=points.shape) * 0.02 * (k + 1)), ("B", points)):
            path = folder / side / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, cloud)
    for side in "AB":
        (folder / side / "<i>damaged.npy").write_bytes(b"\x93NUMPY<script>hit=1</script>")
    np.save(folder / "A" / "<u>alone.npy", points)
    with pytest.raises(SystemExit) as stop:
        cli.main(
            [
                "compare",
                str(folder / "A"),
                str(folder / "B"),
                "-m",
                "cd-l1,f-score",
                "-t",
                "0.1",
                "-q",
                "-f",
                "json",
                "-o",
                str(folder / "r.json"),
                "--html",
                str(folder / "r.html"),
            ]
        )
    assert stop.value.code == 3
    return folder / "r.html", json.loads((folder / "r.json").read_text())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_browser()
    if program is None:
        pytest.skip(HOW)
    with Page(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.names = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append((tag, dict(attrs)))


def test_the_file_needs_nothing_else(report, many):
    for path, _ in (report, many):
        text = path.read_text(encoding="utf-8")
        assert not STARTED.search(text)
        tags = Elements(text).names
        assert not {tag for tag, _ in tags} & {"img", "link", "iframe", "b", "i", "u"}
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name == "src"]
        assert sum(tag == "script" for tag, _ in tags) == 2
        assert path.stat().st_size < 1_000_000


def test_a_view_is_taken_of_the_data():
    rng = np.random.default_rng(2)
    x, y = rng.random((300, 3)) * [5, 1, 2] - 3, rng.random((200, 3)) * [5, 1, 2] - 3
    square = sq_dist_matrix(x, y)
    a, b = np.sqrt(square.min(1)), np.sqrt(square.min(0))
    view = views.make_view(x, y, square.min(1), square.min(0), (0.3,), 1000, 0)
    low = np.minimum(x.min(0), y.min(0))
    side = (np.maximum(x.max(0), y.max(0)) - low).max()
    for cloud, error, shown in ((x, a, view.sides[0]), (y, b, view.sides[1])):
        np.testing.assert_allclose(shown.points / 65535 * side + low, cloud, atol=side / 65535)
        np.testing.assert_allclose(shown.error / 65535 * view.largest, error, atol=view.largest / 65535)
        assert (shown.mean, shown.largest) == (pytest.approx(error.mean()), error.max())
        assert shown.q95 == pytest.approx(np.quantile(error, 0.95))
    for error, shares, beyond in zip((a, b), view.shares, view.beyond, strict=True):
        inside = [
            ((error >= left) & (error < right)).mean()
            for left, right in zip(view.edges[:-1], view.edges[1:], strict=True)
        ]
        np.testing.assert_allclose(shares[:-1], inside[:-1])
        assert shares.sum() + beyond == pytest.approx(1)
    for t, p, r, f in zip(
        view.thresholds, *(view.rates[name] for name in ("precision", "recall", "f-score")), strict=True
    ):
        assert (p, r) == ((a < t).mean(), (b < t).mean()) and f * (p + r) == pytest.approx(2 * p * r)
    assert view.thresholds[-1] >= 0.3
    few = views.make_view(x, y, square.min(1), square.min(0), (), 50, 0)
    assert [len(shown.error) for shown in few.sides] == [50, 50] and few.sides[0].n == 300
    packed = np.frombuffer(base64.b64decode(views.encode(few)["points"][1]), "<u2").reshape(-1, 3)
    assert {tuple(row) for row in packed} <= {tuple(row) for row in view.sides[1].points}


@pytest.mark.parametrize(
    "x, y",
    [
        (np.zeros((1, 3)), np.zeros((1, 3))),  # no extent, no error
        (np.zeros((3, 1)), np.ones((2, 1))),
        (np.random.default_rng(0).random((9, 5)), np.random.default_rng(1).random((4, 5))),
        (np.array([[1e-30, 0.0]]), np.array([[0.0, 1e-30]])),
        (np.array([[1e200 * 0 + 1e100, 0.0]]), np.array([[0.0, 1e100]])),
    ],
)
def test_odd_clouds_can_be_drawn(x, y):
    square = sq_dist_matrix(x, y)
    view = views.make_view(x, y, square.min(1), square.min(0), (0.01,), 10, 0)
    for svg in (charts.histogram(view, "m"), charts.curve(view, "m")):
        assert "nan" not in svg and "inf" not in svg
        for points in re.findall(r'points="([^"]*)"', svg):
            numbers = [float(v) for v in re.split("[ ,]", points)]
            assert min(numbers) >= 0 and max(numbers) <= 520
    json.dumps(views.encode(view), allow_nan=False)


def test_ticks_are_round_and_few():
    for end in (1e-9, 0.013, 0.5, 1.0, 7.0, 12345.0, 3e8):
        at = charts.ticks(end)
        assert at[0] == 0 and at[-1] <= end and 3 <= len(at) <= 6
        assert all(f"{value:.6g}".replace(".", "").replace("0", "")[:1] in "1234568" for value in at[1:])


# Colour deficiencies as linear maps of linear RGB: Machado, Oliveira and Fernandes, IEEE TVCG 15, 2009, severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def luminance(colour, vision="normal"):
    channel = np.asarray(colour) / 255.0
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return np.clip(linear @ np.asarray(VISION[vision]).T, 0, 1) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("ground, sign", [("dark", 1), ("light", -1)])
def test_colours_can_be_told_apart_in_any_vision(ground, sign):
    scale = colours.scale(ground, 64)
    for vision in VISION:
        assert (sign * np.diff(luminance(scale, vision)) > 0).all(), vision
    darker, lighter = sorted((luminance(scale[0]), luminance([20, 24, 30] if ground == "dark" else [255] * 3)))
    assert (lighter + 0.05) / (darker + 0.05) > (3 if ground == "dark" else 1.3)  # points without error are seen, too


PICTURE = """(k => { const canvas = document.querySelectorAll('section.pair:not([hidden]) canvas')[k];
const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
const counts = {}; for (let i = 0; i < data.length; i += 4) {
  const key = data[i] + ',' + data[i + 1] + ',' + data[i + 2]; counts[key] = (counts[key] || 0) + 1; }
return counts; })(%d)"""
PIXELS = "document.querySelectorAll('section.pair:not([hidden]) canvas')[%d].toDataURL()"
GROUND = "20,24,30"
WIDTH = """(() => { const canvas = document.querySelector('section.pair:not([hidden]) canvas');
const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
let low = width, high = 0; for (let i = 0; i < data.length; i += 4) if (data[i] !== 20) {
  const x = i / 4 % width; low = Math.min(low, x); high = Math.max(high, x); }
return high - low; })()"""


def middle(browser, selector):
    box = browser.evaluate(
        f"(b => [b.x + b.width / 2, b.y + b.height / 2])(document.querySelector('{selector}').getBoundingClientRect())"
    )
    return tuple(box)


def set_control(browser, selector, change, event):
    browser.evaluate(
        f"(c => {{ {change}; c.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})"
        f"(document.querySelector('section.pair:not([hidden]) {selector}'))"
    )
    browser.settle()


def test_clouds_are_drawn_in_the_colours_of_their_errors(browser, report):
    browser.open(report[0])
    set_control(browser, "[data-action=shade]", "c.checked = false", "change")
    scale = {",".join(map(str, colour)): k for k, colour in enumerate(colours.scale("dark").tolist())}
    seen = [browser.evaluate(PICTURE % side) for side in (0, 1)]
    for counts in seen:
        total = sum(counts.values())
        assert 0.1 < 1 - counts.pop(GROUND) / total < 0.9
        assert counts.keys() <= scale.keys()
    # A lacks the cap: its own points all lie near B, while those of B's cap lie far from A.
    levels = [[scale[colour] for colour in counts] for counts in seen]
    assert max(levels[1]) == 255 and max(levels[0]) < 128 and min(levels[0]) < 20
    assert browser.problems == []


def test_dragging_turns_both_clouds_and_reset_brings_them_back(browser, report):
    browser.open(report[0])
    before = [browser.evaluate(PIXELS % side) for side in (0, 1)]
    x, y = middle(browser, "canvas")
    browser.drag((x, y), (x + 90, y + 40))
    turned = [browser.evaluate(PIXELS % side) for side in (0, 1)]
    assert turned[0] != before[0] and turned[1] != before[1]
    browser.evaluate("document.querySelector('[data-action=reset]').click()")
    browser.settle()
    assert [browser.evaluate(PIXELS % side) for side in (0, 1)] == before
    browser.evaluate("document.querySelector('canvas').focus()")
    for key in ("ArrowLeft", "+", "0"):
        browser.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))")
        browser.settle()
        assert (browser.evaluate(PIXELS % 0) == before[0]) == (key == "0")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    browser.settle()
    zoomed = browser.evaluate(WIDTH)
    browser.evaluate("document.querySelector('[data-action=reset]').click()")
    browser.settle()
    assert zoomed > 1.2 * browser.evaluate(WIDTH)
    assert browser.problems == []


def test_controls_change_the_picture(browser, report):
    browser.open(report[0])
    before, top = browser.evaluate(PIXELS % 1), browser.evaluate("document.querySelector('.top').textContent")
    set_control(browser, "input[type=range]", "c.value = 300", "input")
    assert browser.evaluate(PIXELS % 1) != before
    now = browser.evaluate("document.querySelector('.top').textContent")
    assert now.startswith("\u2265") and float(now[2:]) < float(top.lstrip("\u2265 "))
    before = browser.evaluate(PIXELS % 1)
    set_control(browser, "select", "c.value = 'y'", "change")
    assert browser.evaluate(PIXELS % 1) != before
    x, y = middle(browser, ".chart.curve")
    browser.mouse("mouseMoved", x, y)
    read = browser.evaluate("document.querySelector('output').textContent")
    assert re.fullmatch(r"at [\d.e-]+: f-score [\d.]+, precision [\d.]+, recall [\d.]+", read)
    assert browser.problems == []


def test_numbers_in_the_page_equal_the_json(browser, report):
    path, document = report
    browser.open(path)
    rows = browser.evaluate(
        "[...document.querySelectorAll('table.metrics tbody tr')].map(row => ["
        "row.querySelector('th').textContent, row.querySelector('td').dataset.value, "
        "row.querySelector('td').textContent, row.children[2].textContent])"
    )
    pair = document["pairs"][0]
    assert {name: float(value) for name, value, _, _ in rows} == pair["metrics"]
    for name, value, shown, unit in rows:
        assert shown == f"{float(value):.6g}"
        assert unit == document["metrics"][name]["unit"].replace("^2", "2")
    assert f"{pair['a']['n_points']:,} points, all shown" in browser.evaluate("document.body.innerText")


def test_folders_worst_first_and_names_stay_text(browser, many):
    path, document = many
    browser.open(path)
    values = {pair["name"]: pair["metrics"]["cd-l1"] for pair in document["pairs"] if pair["metrics"]}
    names = browser.evaluate("[...document.querySelectorAll('button[data-pair]')].map(b => b.textContent)")
    assert names == sorted(values, key=values.get, reverse=True) and EVIL in names and "x</script><b>y" in names
    assert browser.evaluate("typeof hit") == "undefined"
    text = browser.evaluate("document.body.innerText")
    assert "<i>damaged" in text and "<u>alone" in text
    for k, name in enumerate(names):
        browser.evaluate(f"document.querySelectorAll('button[data-pair]')[{k}].click()")
        browser.settle()
        shown = browser.evaluate(
            "[...document.querySelectorAll('section.pair')].filter(s => !s.hidden)"
            ".map(s => [s.querySelector('h2').textContent, "
            "s.querySelector('td[data-value]').dataset.value])"
        )
        assert shown == [[name, repr(values[name])]]
        assert len(browser.evaluate(PICTURE % 0)) > 10
    assert browser.problems == []


def test_dark_and_light(report, tmp_path):
    program = find_browser()
    if program is None:
        pytest.skip(HOW)
    grounds = []
    for dark in (False, True):
        with Page(program, tmp_path / str(dark), dark=dark) as page:
            page.open(report[0])
            ink, ground = (
                page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
            )
            ink, ground = (luminance([int(v) for v in re.findall(r"\d+", text)[:3]]) for text in (ink, ground))
            assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 7
            grounds.append(ground)
    assert grounds[0] > 0.9 and grounds[1] < 0.1


def test_only_the_worst_of_many_pairs_have_views(tmp_path, capsys):
    for k in range(MAX_VIEWS + 5):
        for side in "AB":
            (tmp_path / side).mkdir(exist_ok=True)
            np.save(tmp_path / side / f"{k:03d}.npy", np.zeros((2, 3)) + (0.01 * k if side == "A" else 0))
    cli.main(["compare", str(tmp_path / "A"), str(tmp_path / "B"), "-m", "cd-l1", "--html", str(tmp_path / "r.html")])
    tags = Elements((tmp_path / "r.html").read_text()).names
    shown = [attributes["data-pair"] for tag, attributes in tags if tag == "section"]
    assert shown == [str(k) for k in range(MAX_VIEWS + 4, 4, -1)]
    assert sum(tag == "tr" and "data-pair" in attributes for tag, attributes in tags) == MAX_VIEWS + 5
