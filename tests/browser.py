"""A headless Chromium that reports what a page asked for and what went wrong."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
READY = """
const math = document.querySelectorAll('.math').length;
return document.readyState === 'complete'
  && (math === 0 || document.querySelectorAll('mjx-container').length > 0);
"""
REPORT = r"""
const images = [...document.querySelectorAll('.bd-article img')];
const inside = e => e.closest('.table-scroll, .pst-scrollable-table-container, pre,'
  + ' .highlight, mjx-container, div.math, div.cell_output, svg');
return {
  title: document.title,
  math: document.querySelectorAll('.bd-article .math').length,
  equations: document.querySelectorAll('.bd-article mjx-container').length,
  wrong: document.querySelectorAll('[data-mjx-error], [data-mml-node="merror"]').length,
  images: images.length,
  broken: images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  silent: images.filter(i => !(i.alt || '').trim()).map(i => i.src),
  banner: [...document.querySelectorAll('.bd-article .tier > .admonition-title')]
    .map(e => e.innerText),
  // shrunk to nothing else than their place: a phone shows all of them
  clipped: innerWidth > 600 ? [] : [...document.querySelectorAll(
    '.bd-article img, mjx-container[display="true"] > svg')].filter(e =>
      e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80)),
  unlinked: [...document.querySelectorAll('.bd-article :is(figure, .cell_output) img')]
    .filter(e => !e.closest('a[href]')).map(e => e.outerHTML.slice(0, 80)),
  uncued: [...document.querySelectorAll('.table-scroll, '
    + '.pst-scrollable-table-container, div.highlight pre')].filter(e =>
      e.scrollWidth > e.clientWidth + 1 && !e.matches('.scrolls-on[tabindex="0"]'))
    .map(e => e.textContent.trim().slice(0, 40)),
  cut: [...document.querySelectorAll('.table-scroll, '
    + '.pst-scrollable-table-container, div.highlight pre')].filter(e =>
      e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent.trim().slice(0, 40)),
  pillars: innerWidth > 600 ? [] : [...document.querySelectorAll('.bd-article td')]
    .filter(e => e.textContent.trim().length > 40 && e.clientWidth < 110)
    .map(e => e.textContent.trim().slice(0, 40)),
  torn: [...document.querySelectorAll('.bd-article :is(p, li, td) code .pre')]
    .filter(e => e.textContent.length < 25 && e.getClientRects().length > 1)
    .map(e => e.textContent),
  rerun: document.querySelector('.rerun pre')?.innerText || '',
  requests: performance.getEntriesByType('resource').length,
  described: document.querySelector('meta[name=description]')?.content || '',
  stamp: document.querySelector('.page-stamp')?.innerText || '',
  unnumbered: [...document.querySelectorAll('figure.table-card[id]')].filter(e =>
    !/^Table [A-Z]?\d+[a-z]?\.\d+/.test(
      e.querySelector('.table-number')?.textContent || ''))
    .map(e => e.id),
  wide: document.documentElement.scrollWidth > window.innerWidth
    || [...document.querySelectorAll('.bd-article *')].some(
      e => e.getBoundingClientRect().right > window.innerWidth + 1 && !inside(e)),
};
"""
# axe-core as published; its rules for WCAG 2.2 AA, and for headings and landmarks
AXE = Path(__file__).with_name("_vendor") / "axe-core" / "axe.min.js"
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
STRUCTURE = [
    "heading-order",
    "landmark-one-main",
    "page-has-heading-one",
    "empty-heading",
]
AUDIT = """
const [options, done] = [arguments[0], arguments[1]];
// Code, rows and entries repeat the look of the first ones, and are most of a page.
[...document.querySelectorAll('div.highlight')].slice(4).forEach(e => e.remove());
document.querySelectorAll('tbody tr:nth-child(n+9), mjx-container')
  .forEach(e => e.remove());
[...document.querySelectorAll('.api')].slice(20).forEach(e => e.remove());
const context = document;
axe.run(context, {...options, resultTypes: ['violations']}).then(
  r => done(r.violations.flatMap(v => v.nodes.map(
    n => `${v.id}: ${n.target.join(' ')} ${n.failureSummary.split('\\n')[1].trim()}`))),
  e => done([`axe failed: ${e}`]));
"""
DARK = """
const still = document.createElement('style');  // no colour on its way to another
still.textContent = '*, *::before, *::after { transition: none !important; }';
document.head.append(still);
for (const key of ['theme', 'mode']) document.documentElement.dataset[key] = 'dark';
"""
_SQUEEZED = {".html", ".css", ".js", ".json", ".svg", ".txt", ".ipynb"}


@dataclass
class Visit:
    """What one page showed and did."""

    report: dict[str, Any]
    console: list[str] = field(default_factory=list)  # errors only
    failed: list[str] = field(default_factory=list)  # requests without a good answer
    abroad: list[str] = field(default_factory=list)  # requests to other hosts
    barriers: list[str] = field(default_factory=list)  # that axe finds, in both themes
    weight: int = 0  # bytes received, compressed as by any web host


def absent() -> str | None:
    """Say why no browser can be driven here, or None where one can."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed, so no page was opened in a browser"
    return None


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on localhost; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Answer; text is compressed, as web hosts do."""
            path = Path(self.translate_path(self.path))
            if path.suffix not in _SQUEEZED or not path.is_file():
                super().do_GET()
                return
            body = _squeezed(path)
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(str(path)))
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@functools.cache
def _squeezed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6)


class Browser:
    """Chromium with an empty profile, closed at the end of its `with` block."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        wanted = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", wanted)
        service = Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(60)
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        self._drain()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def size(self, width: int, height: int = 900) -> None:
        """Set the window's inner size in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False}
        )

    def audit(self) -> list[str]:
        """Ask axe what bars people from the page shown, in its light and dark theme."""
        run = self.driver.execute_async_script
        self.driver.execute_script(AXE.read_text(encoding="utf-8"))
        also = {rule: {"enabled": True} for rule in STRUCTURE}
        found = run(AUDIT, {"runOnly": STANDARD, "rules": also})
        self.driver.execute_script(DARK)
        dark = run(AUDIT, {"runOnly": {"type": "rule", "values": ["color-contrast"]}})
        return found + [f"dark: {barrier}" for barrier in dark]

    def visit(self, address: str, patience: float = 20.0, audit: bool = False) -> Visit:
        """Open a page, wait for its equations, and report.

        Args:
            address: its URL.
            patience: seconds to wait for MathJax.
            audit: ask axe, too.
        """
        self.driver.get(address)
        until = time.monotonic() + patience
        while not self.driver.execute_script(READY) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.1)  # what the page asks for last
        visit = Visit(self.driver.execute_script(REPORT))
        home = "/".join(address.split("/")[:3])
        urls: dict[str, str] = {}
        for method, params in self._drain():
            name = urls.get(params.get("requestId", ""), "?")
            if method == "Network.requestWillBeSent":
                name = urls[params["requestId"]] = params["request"]["url"]
                if not name.startswith((home, "data:", "blob:")):
                    visit.abroad.append(name)
            elif method == "Network.loadingFailed" and not params.get("canceled"):
                visit.failed.append(f"{name}: {params.get('errorText')}")
            elif method == "Network.loadingFinished":
                visit.weight += int(params["encodedDataLength"])
            elif method == "Network.responseReceived":
                status = params["response"]["status"]
                if status >= 400:
                    visit.failed.append(f"{params['response']['url']}: {status}")
        visit.console = [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        if audit:
            visit.barriers = self.audit()
        return visit

    def _drain(self) -> list[tuple[str, dict[str, Any]]]:
        """Take the network events since the last call."""
        events = [
            json.loads(entry["message"])["message"]
            for entry in self.driver.get_log("performance")
        ]
        return [(event["method"], event["params"]) for event in events]
