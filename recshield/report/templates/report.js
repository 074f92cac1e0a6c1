"use strict";
(function () {
  function toNumber(cell) {
    const held = cell.querySelector("data");
    const value = parseFloat(held ? held.value : cell.textContent.replace(/[,\s]/g, "").replace("\u2212", "-"));
    return value;
  }
  function compare(one, other) {
    const a = toNumber(one), b = toNumber(other);
    if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
    return one.textContent.trim().localeCompare(other.textContent.trim(), undefined, { numeric: true });
  }
  function markRepeats(table) {
    let last = null;
    for (const row of table.tBodies[0].rows) {
      if (row.hidden) continue;
      const name = row.cells[0].textContent.trim();
      row.classList.toggle("again", name === last);
      last = name;
    }
  }
  function sort(table, place, head) {
    const isUp = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => (isUp ? 1 : -1) * compare(a.cells[place], b.cells[place]));
    table.tBodies[0].append(...rows);
    if (table.classList.contains("matrix")) markRepeats(table);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...Array.from(head.childNodes).filter((node) => node.nodeName !== "SMALL"));
      head.prepend(button);
      button.addEventListener("click", () => sort(table, place, head));
    });
  }
  function filter(form) {
    const chosen = {};
    for (const one of form.querySelectorAll("select")) chosen[one.dataset.filter] = one.value;
    let shown = 0;
    for (const box of form.parentElement.querySelectorAll("[data-metric]")) {
      const isMetric = chosen.metric === undefined || box.dataset.metric === chosen.metric;
      box.hidden = !isMetric;
      const table = box.querySelector("table");
      const heads = Array.from(table.tHead.rows[0].cells);
      const gone = heads.map((head) => Boolean(chosen.attack) && head.dataset.attack !== undefined && head.dataset.attack !== chosen.attack);
      heads.forEach((head, place) => { head.hidden = gone[place]; });
      for (const row of table.tBodies[0].rows) {
        row.hidden = ["surface", "goal", "stage", "norm", "eps"].some((key) => chosen[key] && row.dataset[key] !== chosen[key]);
        let cells = 0;
        Array.from(row.cells).forEach((cell, place) => {
          cell.hidden = gone[place];
          if (cell.dataset.verdict === undefined) return;
          const isFaded = Boolean(chosen.verdict) && cell.dataset.verdict !== chosen.verdict;
          cell.style.visibility = isFaded ? "hidden" : "";
          if (!isFaded && !gone[place]) cells += 1;
        });
        if (chosen.verdict && !cells) row.hidden = true;
        if (isMetric && !row.hidden) shown += cells;
      }
      markRepeats(table);
    }
    form.querySelector("output").textContent = shown + (shown === 1 ? " cell" : " cells");
  }
  for (const form of document.querySelectorAll("form.filters")) {
    form.hidden = false;
    form.addEventListener("change", () => filter(form));
    form.addEventListener("reset", () => setTimeout(() => filter(form)));
    form.addEventListener("submit", (event) => event.preventDefault());
    filter(form);
  }
  const dialog = document.getElementById("cell");
  const body = dialog.querySelector(".dialog-body"), title = document.getElementById("cell-title");
  for (const link of document.querySelectorAll("td.cell a")) {
    link.setAttribute("aria-haspopup", "dialog");
    link.addEventListener("click", (event) => {
      const held = document.getElementById(link.getAttribute("href").slice(1));
      if (!held || event.ctrlKey || event.metaKey || typeof dialog.showModal !== "function") return;
      event.preventDefault();
      title.replaceChildren(...Array.from(held.querySelector("summary").childNodes, (node) => node.cloneNode(true)));
      body.replaceChildren(held.querySelector(".cell-body").cloneNode(true));
      dialog.showModal();
      dialog.scrollTop = 0;
    });
  }
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
})();
