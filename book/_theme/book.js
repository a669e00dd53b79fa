/* What the pages do beside the theme: wide boxes say that they scroll and can be reached
   with the keyboard, figures open in full size, and the search needs no server. */

(() => {
  "use strict";

  const BOXES = ".table-scroll, .ecg-scroll, .pst-scrollable-table-container, div.highlight pre, "
    + "div.math, div.math mjx-container, div.cell_output > .output";

  const PHONE = 600; // pixels, as in book.css

  // A box that is wider than its place: focusable, named, and with a fading edge.
  function cue(box) {
    const wide = box.scrollWidth > box.clientWidth + 1;
    const end = box.scrollLeft + box.clientWidth >= box.scrollWidth - 1;
    box.classList.toggle("scrolls", wide);
    box.classList.toggle("scrolls-on", wide && !end);
    if (wide && !box.hasAttribute("tabindex")) {
      box.tabIndex = 0;
      box.dataset.cue = "";
      if (!box.hasAttribute("role") && !box.matches("mjx-container")) {
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", box.matches("pre") ? "Code" : "Wide content");
      }
    } else if (!wide && "cue" in box.dataset) {
      for (const name of ["tabindex", "role", "aria-label", "data-cue"])
        box.removeAttribute(name);
    }
  }

  const WORDY = 60; // characters of a cell that is read, not looked up

  // A table that is a little too wide for its place closes up before it scrolls; on a phone
  // rows of sentences become cards.
  function fit(box) {
    const table = box.querySelector(":scope > table.numbers");
    if (!table) return;
    table.classList.remove("tight", "cards");
    if (box.scrollWidth <= box.clientWidth + 1) return;
    if (innerWidth > PHONE) table.classList.add("tight");
    else if ([...table.querySelectorAll("td")].some((td) => td.textContent.length > WORDY))
      deal(table);
  }

  // Cards: each cell says its column, and all keep the roles that a table's layout gives.
  function deal(table) {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
    const roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row",
      TH: "columnheader", TD: "cell" };
    for (const part of [table, ...table.querySelectorAll("thead, tbody, tr, th, td")]) {
      part.setAttribute("role", roles[part.tagName]);
      if (part.tagName === "TD") part.dataset.column = heads[part.cellIndex];
    }
    table.classList.add("cards");
  }

  // A cell of many words is no pillar of single ones, on a phone: book.css gives it room.
  function room(cell) {
    cell.classList.toggle("wordy", cell.textContent.trim().length > 40);
  }

  function all() {
    document.querySelectorAll(".pst-scrollable-table-container td").forEach(room);
    document.querySelectorAll(".table-scroll").forEach(fit);
    document.querySelectorAll(BOXES).forEach(cue);
  }

  // Formulas side by side shrink on a phone until they cannot be read: they go one below
  // the other, before MathJax, whose script is deferred, sees them.
  function stack(box) {
    const text = box.lastChild;
    const tex = text?.nodeType === Node.TEXT_NODE && text.data.match(/^\s*\\\[([^]*)\\\]\s*$/);
    if (!tex || !tex[1].includes("\\qquad")) return;
    const body = tex[1].replace(/\\(begin|end)\{split\}/g, "");
    if (body.replace(/\\begin\{cases\}[^]*?\\end\{cases\}/g, "").includes("&")) return;
    const rows = body.replace(/(\\qquad\s*)+/g, "\\\\[6pt] ");
    text.data = `\\[\\begin{gathered}${rows}\\end{gathered}\\]`;
  }

  document.addEventListener("readystatechange", () => {
    if (document.readyState === "interactive" && innerWidth <= PHONE)
      document.querySelectorAll("div.math").forEach(stack);
  });

  // A phone shrinks a figure until its words cannot be read: the figure is a link to
  // its own file, where it can be zoomed.
  function link(image) {
    const whole = document.createElement("a");
    whole.href = image.currentSrc || image.src;
    whole.className = "whole-figure";
    image.replaceWith(whole);
    whole.append(image);
  }

  // Folded code is named after the table or figure that it makes.
  function name(summary) {
    const made = summary.closest(".cell").querySelector(
      ".cell_output :is(.table-number, .caption-number)")?.textContent.trim();
    if (made) summary.querySelectorAll("p").forEach((said) => {
      said.textContent = said.textContent.replace("code cell source", `the code of ${made}`);
    });
  }

  // The theme names these after something else than what stands on them.
  const NAMED = ".search-button-field, details > summary, .theme-switch-button";

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(NAMED).forEach((element) => {
      if (element.innerText.trim()) element.removeAttribute("aria-label");
    });
    document.querySelectorAll(".bd-content :is(figure, .cell_output) img").forEach(
      (image) => { if (!image.closest("a")) link(image); });
    document.addEventListener("scroll", (event) => {
      if (event.target instanceof Element && event.target.matches(BOXES)) cue(event.target);
    }, { capture: true, passive: true });
    window.addEventListener("resize", all);
    const shown = new ResizeObserver((boxes) => boxes.forEach((box) => cue(box.target)));
    document.querySelectorAll(".ecg-scroll").forEach((box) => shown.observe(box));
    document.querySelectorAll(".cell > details > summary").forEach(name);
    all();
    window.MathJax?.startup?.promise?.then(all);
  });
  window.addEventListener("load", all);

  // Paper cannot unfold anything: answers and computations are printed, bookkeeping
  // code stays folded.
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll(".bd-article details:not([open])")].filter(
      (one) => !/^Show (the )?code/.test(one.querySelector("summary")?.textContent.trim()));
    unfolded.forEach((one) => { one.open = true; });
  });
  window.addEventListener("afterprint", () => {
    unfolded.forEach((one) => { one.open = false; });
  });

  // Opened as a file, a page may not fetch others, so results come without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
