"""The explorer page in a browser: it says what `mccgaa classify` says."""

import base64
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, absent, serve

from mccgaa.config import LEADS, InputConfig
from mccgaa.data.record import read_record
from mccgaa.data.transform import prepare_windows
from mccgaa.plus.prompting import Prompting
from mccgaa.ready.classifier import EXAMPLE, load
from mccgaa_book.explorer import EXAMPLES, write_examples

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ROOT / "book" / "_explorer" / "examples"
CLOSE = 1e-3  # of cosines and probabilities

ROWS = """
return [...document.querySelectorAll('#explorer-results tbody tr')].map(
  row => [row.dataset.name, +row.dataset.cosine, +row.dataset.probability]);
"""
# The scripts themselves, on a file that the test hands over: what no control reaches.
PREPARED = """
const [folder, file, stated, done] = arguments;
const from = name => import(new URL(name, folder));
(async () => {
  const { readRecord } = await from('formats.js');
  const { prepareWindows } = await from('transform.js');
  const bytes = Uint8Array.from(atob(file.content), c => c.charCodeAt(0)).buffer;
  const files = [{ name: file.name, content: async () => bytes }];
  const record = await readRecord(files, stated);
  const input = { samplingRate: 100, length: 1000 };
  return prepareWindows(record, input).windows.map(window => [...window]);
})().then(done, error => done(String(error.message)));
"""
EVERYTHING = """
const [folder, prompts, done] = arguments;
const from = name => import(new URL(name, folder));
(async () => {
  const { readRecord } = await from('formats.js');
  const { prepareWindows } = await from('transform.js');
  const { loadModel } = await from('model.js');
  const model = await loadModel(new URL(folder), () => {});
  const files = ['afib.hea', 'afib.dat'].map(name => ({ name, content: async () =>
    (await fetch(new URL(`examples/${name}`, folder))).arrayBuffer() }));
  const { windows } = prepareWindows(
    await readRecord(files, {}), { samplingRate: 100, length: 1000 });
  const embeddings = await model.embed(windows);
  return model.ask(embeddings, model.facts.classes, prompts);
})().then(done, error => done(String(error.message)));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A book of this one page, built by the documented command."""
    why = absent()
    if why:
        pytest.skip(why)
    tree = tmp_path_factory.mktemp("tree")
    for name in ("_config.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("_ext", "_explorer", "_theme", "_vendor"):
        shutil.copytree(ROOT / "book" / name, tree / "book" / name, ignore=skip)
    for name in ("explorer.md", "references.bib"):
        shutil.copy(ROOT / "book" / name, tree / "book")
    toc = tree / "book" / "_toc.yml"
    toc.write_text("format: jb-book\nroot: explorer\n", encoding="utf-8")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "book"]
    done = subprocess.run(
        [*command, "--keep-going"], cwd=tree, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return tree / "_build" / "html"


class Page:
    """The explorer as a reader uses it."""

    def __init__(self, browser: Browser, home: str) -> None:
        self.browser = browser
        self.driver = browser.driver
        self.driver.set_script_timeout(60)
        self.folder = f"{home}_static/explorer/"
        self.visit = browser.visit(f"{home}explorer.html")
        self.before = self.resources()
        self.click("load")
        self.until(lambda: self.rows(), "the model answered")

    def resources(self):
        return self.driver.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )

    def find(self, name):
        return self.driver.find_element("id", f"explorer-{name}")

    def click(self, name):
        self.driver.execute_script("arguments[0].click()", self.find(name))

    def until(self, true, what, patience=60.0):
        end = time.monotonic() + patience
        while not true():
            assert time.monotonic() < end, f"{what} did not happen"
            time.sleep(0.05)

    def rows(self):
        return self.driver.execute_script(ROWS)

    def change(self, act):
        """Do something that asks the model anew; give all rows of its answer."""
        self.driver.execute_script(
            "document.querySelector('#explorer-results').tBodies[0].replaceChildren()"
        )
        act()
        self.until(self.rows, "an answer")
        if self.find("more").text.startswith("Show all"):
            self.click("more")
            self.until(lambda: len(self.rows()) > 10, "a longer answer")
        return self.rows()

    def choose(self, name, value):
        self.driver.execute_script(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('change', {bubbles: true}))",
            self.find(name),
            value,
        )

    def give(self, *paths, rate="", units="mV", missing=False):
        """Give the page files of one's own, and what they do not say."""
        self.driver.execute_script(
            "const [rate, units, missing, file] = ['rate', 'units', 'missing', 'file']"
            "  .map(name => document.getElementById(`explorer-${name}`));"
            "[rate.value, units.value, missing.checked] = arguments; file.value = '';",
            *(rate, units, missing),
        )
        self.find("file").send_keys("\n".join(map(str, paths)))


@pytest.fixture(scope="module")
def page(site, tmp_path_factory):
    with serve(site) as home, Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.size(1440)
        yield Page(browser, home)


@pytest.fixture(scope="module")
def classifier():
    return load(device="cpu")


def signal(rate=100.0, seconds=10.0, seed=0):
    """Something like an ECG: (12, T) mV."""
    rng = np.random.default_rng(seed)
    time_ = np.arange(round(rate * seconds)) / rate
    beats = np.exp(-(((time_ % 0.8) - 0.4) ** 2) / 2e-4)
    drift = 0.3 * np.sin(2 * np.pi * 0.2 * time_)
    noise = 0.02 * rng.standard_normal((12, len(time_)))
    return rng.normal(0, 1, (12, 1)) * beats + drift + noise


def agree(rows, findings):
    """Check the page's rows against what `classify` returned."""
    assert len(rows) == len(findings) > 0
    ours = {name: (cosine, probability) for name, cosine, probability in rows}
    theirs = {f.name: (f.cosine, f.probability) for f in findings}
    assert ours.keys() == theirs.keys()
    for name, numbers in theirs.items():
        assert ours[name] == pytest.approx(numbers, abs=CLOSE), name
    said = [probability for *_, probability in rows]
    assert said == sorted(said, reverse=True)


def write_csv(path, data, names=LEADS, **columns):
    table = {**columns, **dict(zip(names, data, strict=True))}
    lines = [",".join(table)]
    lines += [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join(lines).replace("nan", "") + "\n")
    return path


@pytest.mark.parametrize("name", ["afib", "wpw", "ecg"])
def test_an_example_is_classified_as_the_command_does(page, classifier, name):
    rows = page.change(lambda: page.choose("example", name))
    path = EXAMPLE if name == "ecg" else SHOWN / f"{name}.hea"
    agree(rows, classifier.classify(path))
    assert "SYNTHETIC" in page.find("caption").text


def test_a_csv_of_ones_own_is_classified_as_the_command_does(
    page, classifier, tmp_path
):
    data = 1000 * signal(rate=257.5, seconds=13.3)
    data[3, 100:130] = np.nan
    order = [*range(11, -1, -1)]
    names = [f" lead {LEADS[i].upper()}" for i in order]
    path = write_csv(
        tmp_path / "own.csv", data[order], names, Time=range(data.shape[1])
    )
    rows = page.change(lambda: page.give(path, rate="257.5", units="uV"))
    found = classifier.classify(path, sampling_rate=257.5, units="uV")
    agree(rows, found)
    assert "own.csv" in page.find("caption").text
    assert len(page.find("part").find_elements("tag name", "option")) == 2


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i2"])
def test_an_array_is_classified_as_the_command_does(page, classifier, tmp_path, kind):
    data = (1000 * signal(rate=128)).T.astype(kind)
    path = tmp_path / "own.npy"
    np.save(path, np.asfortranarray(data) if kind == "<f4" else data)
    rows = page.change(lambda: page.give(path, rate="128", units="uV"))
    agree(rows, classifier.classify(path, sampling_rate=128, units="uV"))


def test_a_wfdb_pair_and_missing_leads_are_taken_as_the_command_takes_them(
    page, classifier, tmp_path
):
    rows = page.change(lambda: page.give(EXAMPLE, EXAMPLE.with_suffix(".dat")))
    agree(rows, classifier.classify(EXAMPLE))
    eight = [0, 1, *range(6, 12)]  # what is missing is computed from I and II
    path = write_csv(tmp_path / "e.csv", signal()[eight], [LEADS[i] for i in eight])
    rows = page.change(lambda: page.give(path, rate="100"))
    agree(rows, classifier.classify(path, sampling_rate=100))
    path = write_csv(tmp_path / "few.csv", signal()[:8], LEADS[:8])
    rows = page.change(lambda: page.give(path, rate="100", missing=True))
    options = {"sampling_rate": 100, "allow_missing_leads": True}
    agree(rows, classifier.classify(path, **options))


def test_blanking_a_lead_and_a_second_changes_the_answer_as_it_does_in_python(
    page, classifier
):
    page.change(lambda: page.choose("example", "afib"))
    lead, second = (
        page.find(kind).find_elements("tag name", "button")[i]
        for kind, i in (("leads", 6), ("seconds", 3))
    )
    page.change(lead.click)
    rows = page.change(second.click)
    assert lead.get_attribute("aria-pressed") == "true"
    windows = classifier.windows(read_record(SHOWN / "afib.hea"))
    whole = classifier.score(windows, classifier.names)[0]
    windows[0, 6] = 0
    windows[0, :, 300:400] = 0
    cosine = classifier.score(windows, classifier.names)[0]
    ours = {name: c for name, c, _ in rows}
    assert [ours[name] for name in classifier.names] == pytest.approx(
        cosine.tolist(), abs=CLOSE
    )
    assert (cosine - whole).abs().max() > 10 * CLOSE, "nothing changed"
    assert "was" in page.find("results").text
    back = page.change(lambda: page.click("reset"))
    agree(back, classifier.classify(SHOWN / "afib.hea"))


def test_the_parts_of_a_class_weigh_what_they_weigh_in_python(page, classifier):
    page.change(lambda: page.choose("example", "afib"))
    name = page.rows()[0][0]
    page.find("results").find_element("css selector", "tbody button").click()
    page.until(lambda: name in page.find("why").text, "an explanation", 30)
    costs = classifier.occlude(read_record(SHOWN / "afib.hea"), name)
    for kind, weights in zip(("leads", "seconds"), costs, strict=True):
        notes = page.find(kind).find_elements("tag name", "small")
        shown = [float(note.text.replace("\N{MINUS SIGN}", "-")) for note in notes]
        assert shown == pytest.approx(weights.tolist(), abs=0.03)


@pytest.mark.parametrize("prompts", ["members", "single"])
def test_every_class_of_the_knowledge_base_has_pythons_numbers(page, prompts):
    found = page.driver.execute_async_script(EVERYTHING, page.folder, prompts)
    assert isinstance(found, list), found
    own = prompts == "members"
    classifier = load(device="cpu", prompting=None if own else Prompting(prompts))
    rows = [(f["name"], f["cosine"], f["probability"]) for f in found]
    base = classifier.knowledge.vocabularies.values()
    assert {name.lower() for name, *_ in rows} == {
        entry.name.lower() for entries in base for entry in entries.values()
    }
    names = [name for name, *_ in rows]
    agree(rows, classifier.classify(SHOWN / "afib.hea", names))


def test_classes_are_searched_by_synonym_and_ticked_one_by_one(page, classifier):
    page.change(lambda: page.choose("example", "afib"))
    page.driver.execute_script(
        "document.getElementById('explorer-none').click();"
        "const search = document.getElementById('explorer-search');"
        "search.value = 'afib'; search.dispatchEvent(new Event('input'))"
    )
    boxes = page.find("classes").find_elements("tag name", "input")
    values = [box.get_attribute("value") for box in boxes]
    assert 0 < len(values) < 10 and "atrial fibrillation" in values
    rows = page.change(boxes[values.index("atrial fibrillation")].click)
    agree(rows, classifier.classify(SHOWN / "afib.hea", ["atrial fibrillation"]))
    rows = page.change(lambda: page.click("all"))
    assert len(rows) == len(classifier.names)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [(81, 10.0), (100, 4.0), (128, 23.7), (250, 9.99), (360.5, 10.0), (1000, 12.0)],
)
def test_an_ecg_is_prepared_as_the_package_prepares_it(page, tmp_path, rate, seconds):
    path = tmp_path / "own.npy"
    data = signal(rate, seconds).astype(np.float32)
    data[3, round(0.35 * rate) : round(0.41 * rate)] = np.nan  # at a beat
    data[4, : round(0.05 * rate)] = np.nan
    np.save(path, data)
    file = {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}
    windows = page.driver.execute_async_script(
        PREPARED, page.folder, file, {"rate": rate}
    )
    assert isinstance(windows, list), windows
    record = read_record(path, sampling_rate=rate)
    wanted = prepare_windows(record, InputConfig(100, transform="bandpass-zscore"))
    np.testing.assert_allclose(np.reshape(windows, wanted.shape), wanted, atol=1e-5)


def test_a_file_that_cannot_be_used_gets_a_sentence_that_says_why(page, tmp_path):
    before, fill = page.find("caption").text, page.find("missing").accessible_name
    gap = signal()
    gap[2, 100:200] = np.nan
    cases = [
        ("norate.csv", lambda p: write_csv(p, signal()), "", "enter it in Hz"),
        ("few.csv", lambda p: write_csv(p, signal()[:3], LEADS[:3]), 100, f'"{fill}"'),
        ("gap.csv", lambda p: write_csv(p, gap), 100, "III is invalid for 1.00 s"),
        ("volts.csv", lambda p: write_csv(p, 1000 * signal()), 100, "true units"),
        ("slow.csv", lambda p: write_csv(p, signal()), 60, "more than 80 Hz"),
        ("text.csv", lambda p: p.write_text("I,II\n1,x\n"), 100, "table of numbers"),
        ("flat.npy", lambda p: np.save(p, np.zeros((12, 900))), 100, "is flat"),
        ("cube.npy", lambda p: np.save(p, np.zeros((2, 3, 4))), 100, "(2, 3, 4)"),
        ("ecg.edf", lambda p: p.write_bytes(b"0"), 100, "no format"),
        ("ecg.hea", lambda p: shutil.copy(EXAMPLE, p), "", "choose both together"),
    ]
    for name, write, rate, said in cases:
        write(tmp_path / name)
        page.give(tmp_path / name, rate=str(rate))
        error = page.find("error")
        page.until(lambda e=error, s=said: s in e.text, f"{name}: {said}", 5)
        assert name in error.text
    assert page.find("caption").text == before, "the ECG before is still there"
    page.change(lambda: page.choose("example", "norm"))
    assert page.find("error").text == ""


def test_asking_again_takes_less_than_half_a_second(page):
    taken = []
    for name in ("norm", "afib", "wpw"):
        page.change(lambda name=name: page.choose("example", name))
        taken.append(float(page.find("results").get_attribute("data-took")))
    assert min(taken) < 500, taken


def test_all_is_done_with_the_keyboard_and_every_control_has_a_name(page):
    from selenium.webdriver.common.keys import Keys

    button = page.find("leads").find_elements("tag name", "button")[0]
    before = button.get_attribute("aria-pressed")
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") != before
    page.change(lambda: page.find("reset").send_keys(Keys.ENTER))
    cdp = page.driver.execute_cdp_cmd
    place = {"expression": "document.getElementById('explorer')"}
    found = cdp("Runtime.evaluate", place)["result"]["objectId"]
    nodes = cdp("Accessibility.queryAXTree", {"objectId": found})["nodes"]
    controls = {"button", "checkbox", "combobox", "searchbox", "spinbutton"}
    controls |= {"image", "region"}
    seen = set()
    for node in nodes:
        role = node.get("role", {}).get("value")
        if not node["ignored"] and role in controls:
            seen.add(role)
            assert node.get("name", {}).get("value"), f"a {role} has no name"
    assert seen == controls


def test_the_widgets_compute_what_the_equations_say(page):
    """The gate of eq 13, the edges of eq 18, the softmax of eq 27."""
    turned = """
      const [name, value] = arguments;
      const input = document.getElementById(`widget-${name}`);
      input.value = value;
      input.dispatchEvent(new Event('input'));
      return input.closest('.widget').textContent;
    """
    z = 1.5
    once = 1 / (1 + np.exp(-z))
    twice = 1 / (1 + np.exp(-once))
    said = page.driver.execute_script(turned, "gate", z)
    assert f"keeps {once:.0%} of the channel, a sigmoid of it {twice:.0%}" in said
    assert "53%" in page.driver.execute_script(turned, "gate", -2)
    edges = [
        int(re.search(r"(\d+) of 64 edges", said)[1])
        for v in (-8, 0, 4, 14)
        if (said := page.driver.execute_script(turned, "threshold", v))
    ]
    assert edges[0] > edges[1] > edges[2] > edges[3] == 0
    said = page.driver.execute_script(turned, "temperature", 0.3)  # tau = 2
    loss = float(re.search(r"ECGs is (\d\.\d+)", said)[1])
    assert 1.7 < loss < np.log(8), "a high temperature tends to log B"
    said = page.driver.execute_script(turned, "temperature", -1)
    assert float(re.search(r"ECGs is (\d\.\d+)", said)[1]) < 1


@pytest.mark.parametrize("width", [360, 1440])
def test_a_widget_is_seen_whole_and_can_be_read(page, width):
    """On a phone its legend goes below the panel; at a desk it is beside it."""
    page.browser.size(width)
    time.sleep(0.2)
    widgets = page.driver.execute_script("""
      return [...document.querySelectorAll('.widget .figure')].map(figure => {
        const [panel, aside] = [...figure.children].map(e => e.getBoundingClientRect());
        const all = [...figure.querySelectorAll('svg *')];
        return {
          right: Math.max(...all.map(e => e.getBoundingClientRect().right)),
          edge: figure.parentElement.getBoundingClientRect().right,
          letters: Math.min(...all.filter(e => e.localName === 'text').map(
            e => e.getBoundingClientRect().height)),
          below: aside.top >= panel.bottom - 1,
        };
      });""")
    boxes = page.driver.execute_script(
        "return [...document.querySelectorAll('#explorer input[type=checkbox]')]"
        ".filter(e => e.offsetParent).map(e => e.offsetWidth)"
    )
    page.browser.size(1440)
    assert len(widgets) == 3 and min(boxes) >= 24
    for widget in widgets:
        assert widget["right"] <= widget["edge"] <= width
        assert widget["letters"] > 11 and widget["below"] == (width == 360)


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_fits_asks_nobody_and_logs_nothing(page, width):
    """After everything that the tests above did with it."""
    page.browser.size(width)
    time.sleep(0.2)
    wide = page.driver.execute_script(
        "return document.documentElement.scrollWidth > window.innerWidth"
    )
    page.browser.size(1440)
    assert not wide
    assert page.visit.abroad == [] and page.visit.failed == []
    logged = page.driver.get_log("browser")
    assert [m for m in logged if m["level"] in ("SEVERE", "WARNING")] == []
    policy = page.driver.execute_script(
        "return document.head.querySelector('[http-equiv]').content"
    )
    assert policy == "connect-src 'self' blob:"


def test_the_page_loads_the_model_only_when_asked_and_says_how_large_it_is(page):
    html = (ROOT / "book" / "_explorer" / "explorer.html").read_text(encoding="utf-8")
    said = float(re.search(r"\(about (\d+) MB\)", html)[1])
    heavy = ("encoder.onnx", "classes.bin", ".wasm.gz", "ort.wasm-core.min.js")
    assert not [name for name in page.before if name.endswith(heavy)]
    assert {h for h in heavy for n in page.resources() if n.endswith(h)} == set(heavy)
    size = page.driver.execute_script(
        "return fetch(arguments[0] + 'model.json').then(a => a.json())", page.folder
    )["bytes"]
    assert size / 1e6 == pytest.approx(said, abs=0.6)


def test_the_examples_are_those_that_the_twin_makes(tmp_path):
    write_examples(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in SHOWN.iterdir()}
    for code in EXAMPLES:
        ours, theirs = (
            np.frombuffer((folder / f"{code.lower()}.dat").read_bytes(), "<i2")
            for folder in (SHOWN, tmp_path)
        )
        assert np.abs(ours.astype(int) - theirs).max() <= 1, code
        header = (SHOWN / f"{code.lower()}.hea").read_text(encoding="utf-8")
        assert "SYNTHETIC" in header
