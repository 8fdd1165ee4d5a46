"use strict";
(() => {
  const root = document.documentElement;
  const remembered = (() => { try { return localStorage.getItem("pocketbench-theme"); } catch { return null; } })();
  if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
  root.classList.add("scripted");

  function switchTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("pocketbench-theme", root.dataset.theme); } catch { /* a private window forgets */ }
  }

  const dataText = () => document.getElementById("data").textContent;
  let parsed = null;
  window.pocketbench = { data: () => (parsed ??= JSON.parse(dataText())) };

  function csv({ columns, table }) {
    const quoted = (value) => {
      const text = value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [columns, ...table].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  }

  function download(kind) {
    const data = window.pocketbench.data();
    const [text, type] = kind === "csv" ? [csv(data), "text/csv"] : [dataText(), "application/json"];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = `pocketbench-${data.run.run_id}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const compare = (a, b) => {
      const [x, y] = [Number(a), Number(b)];
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
    };
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what was not measured stays last
        return down ? compare(y, x) : compare(x, y);
      });
      body.append(...rows);
    }));
  }

  function filterable(form, table) {
    const rows = [...table.tBodies[0].rows];
    const texts = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.more}`.toLowerCase()]));
    const search = form.querySelector("input");
    const selects = [...form.querySelectorAll("select")];
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const fits = words.every((word) => texts.get(row).includes(word))
          && selects.every((select) => !select.value || row.dataset[select.dataset.key] === select.value);
        row.hidden = !fits;
        shown += fits;
      }
      document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
      document.getElementById("nothing").hidden = shown > 0;
      document.getElementById("clear").hidden = !words.length && selects.every((select) => !select.value);
    };
    for (const kind of ["input", "change"]) form.addEventListener(kind, apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
  }

  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = target?.matches("details") ? target : target?.querySelector(":scope > details.fold");
    if (!fold) return;
    fold.open = true;
    target.scrollIntoView({ block: "start" });
  }

  function tips() {
    const tip = document.getElementById("tip");
    let told = null;
    const hide = () => { tip.hidden = true; told = null; };
    const show = (owner) => {
      told = owner;
      tip.textContent = owner.dataset.tip;
      tip.hidden = false;
      owner.setAttribute("aria-describedby", "tip");
      place();
    };
    const place = () => {
      const at = told.getBoundingClientRect();
      const left = Math.min(Math.max(12, at.left), innerWidth - tip.offsetWidth - 12);
      const above = at.top - tip.offsetHeight - 6;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 8 ? above : at.bottom + 6}px`;
    };
    const owner = (event) => event.target instanceof Element ? event.target.closest("[data-tip]") : null;
    for (const kind of ["pointerover", "focusin", "click"]) {
      document.addEventListener(kind, (event) => { const found = owner(event); if (found) show(found); else hide(); });
    }
    document.addEventListener("focusout", hide);
    document.addEventListener("scroll", () => { if (told) place(); }, { passive: true, capture: true });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  }

  async function copy(button) {
    const text = button.parentElement.querySelector("code").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(button.parentElement.querySelector("code")); button.textContent = "Selected"; }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", switchTheme);
    const table = document.getElementById("cases");
    if (table) { sortable(table); filterable(document.querySelector(".filters"), table); }
    tips();
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.download) download(button.dataset.download);
      if (button?.classList.contains("copy")) copy(button);
      const link = event.target.closest('a[href^="#"]');
      if (link && link.hash === location.hash) openTarget(); // the same link twice makes no hashchange
    });
    addEventListener("hashchange", openTarget);
    openTarget();
  });
})();
