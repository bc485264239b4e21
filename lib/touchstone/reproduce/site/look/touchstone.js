// Filters and sorts the table of verdicts, and lets boxes that scroll be reached by keyboard.
// The state of the filters is the fragment of the address, so that every view has a link; it works from a file.
"use strict";
(() => {
  const wide = () => {
    for (const box of document.querySelectorAll(".bd-article :is(p, li, dd, dt, td, h1, h2, h3):has(math)")) {
      if (box.closest(".ts-scroll, .ts-table")) continue; // rows out of sight are not to be measured
      if (box.scrollWidth > box.clientWidth + 1) box.classList.add("ts-scrolls");
    }
    for (const box of document.querySelectorAll(".ts-scroll, .ts-scrolls, .bd-article table:not(.ts-table), .cell_output, .pst-scrollable-table-container, pre")) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls && !box.hasAttribute("tabindex")) box.setAttribute("tabindex", "0");
      if (!scrolls && box.dataset.made) box.removeAttribute("tabindex");
      if (scrolls) box.dataset.made = "1";
    }
  };
  addEventListener("load", wide);
  addEventListener("resize", wide);

  const form = document.getElementById("ts-filters");
  const table = document.getElementById("ts-table");
  if (!form || !table) return;
  const body = table.tBodies[0];
  const order = ["refuted", "inconclusive", "supported", "out of reach"];
  const rows = [...body.rows].map((row, number) => ({
    row, number,
    verdict: row.dataset.verdict, kind: row.dataset.kind, topic: row.dataset.topic, paper: row.dataset.paper,
    words: (row.dataset.words + " " + row.textContent).toLowerCase().replace(/\s+/g, " "),
  }));
  const shown = document.getElementById("ts-shown");
  const none = document.getElementById("ts-none");
  const heads = [...table.tHead.rows[0].cells];
  const value = {
    verdict: (r) => String(order.indexOf(r.verdict)),
    claim: (r) => r.row.querySelector(".ts-says").textContent.trim().toLowerCase(),
    paper: (r) => r.row.cells[2].textContent.trim().toLowerCase(),
    kind: (r) => r.kind,
    topic: (r) => r.topic,
  };
  let sorted = { column: "", down: false };

  const state = () => {
    const data = new FormData(form);
    return {
      words: String(data.get("words") || "").trim(),
      verdict: data.getAll("verdict").map(String),
      kind: String(data.get("kind") || ""),
      topic: String(data.get("topic") || ""),
      paper: String(data.get("paper") || ""),
    };
  };

  const filter = () => {
    const want = state();
    const words = want.words.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const r of rows) {
      const fits =
        (!want.verdict.length || want.verdict.includes(r.verdict)) &&
        (!want.kind || r.kind === want.kind) &&
        (!want.topic || r.topic === want.topic) &&
        (!want.paper || r.paper === want.paper) &&
        words.every((word) => r.words.includes(word));
      if (r.row.hidden === fits) r.row.hidden = !fits;
      if (fits) count += 1;
    }
    shown.textContent = `${count} of ${rows.length} checks`;
    none.hidden = count > 0;
  };

  const sort = (column, down) => {
    sorted = { column, down };
    const keyed = rows.map((r) => ({ r, key: column ? value[column](r) : "" }));
    keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) * (down ? -1 : 1) || a.r.number - b.r.number);
    body.append(...keyed.map(({ r }) => r.row));
    for (const head of heads) {
      if (head.dataset.column === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  };

  const address = () => {
    const want = state();
    const query = new URLSearchParams();
    for (const verdict of want.verdict) query.append("verdict", verdict);
    for (const name of ["kind", "topic", "paper"]) if (want[name]) query.set(name, want[name]);
    if (want.words) query.set("words", want.words);
    if (sorted.column) query.set("sort", (sorted.down ? "-" : "") + sorted.column);
    const text = query.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname.split("/").pop() || "#");
  };

  const read = () => {
    const text = location.hash.slice(1);
    const query = new URLSearchParams(text.includes("=") ? text : "");
    const verdicts = query.getAll("verdict");
    for (const box of form.elements.verdict) box.checked = verdicts.includes(box.value);
    for (const name of ["kind", "topic", "paper", "words"]) form.elements[name].value = query.get(name) || "";
    const by = query.get("sort") || "";
    const column = by.replace(/^-/, "");
    sort(column in value ? column : "", by.startsWith("-"));
    filter();
    const row = text && !text.includes("=") ? document.getElementById(decodeURIComponent(text)) : null;
    if (row) row.scrollIntoView({ block: "center" });
  };

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const same = sorted.column === head.dataset.column;
      if (same && sorted.down) sort("", false);
      else sort(head.dataset.column, same);
      address();
    });
  }
  form.addEventListener("input", () => { filter(); address(); });
  form.addEventListener("reset", () => setTimeout(() => { sort("", false); filter(); address(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", read);
  form.hidden = false;
  read();
})();
