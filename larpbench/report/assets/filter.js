"use strict";
// Narrows tables down to the rows that fit a form, and says aloud what filtering and sorting have done.
addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("filters");
  const said = document.getElementById("said");
  document.addEventListener("sort-end", (event) => {
    const head = event.target.querySelector("th[aria-sort]");
    if (said && head) said.textContent = `Sorted by ${head.textContent.trim()}, ${head.getAttribute("aria-sort")}.`;
  });
  if (!form) return;
  const rows = Array.from(document.querySelectorAll("tr[data-text]"), (row) => ({
    row, text: row.dataset.text.toLowerCase(), has: {},
  }));
  const sections = document.querySelectorAll("section[data-rows]");
  const fits = ({ row, text, has }, wanted, words) => {
    for (const [key, value] of wanted) {
      has[key] ??= new Set((row.dataset[key] ?? "").split(" "));
      if (!has[key].has(value)) return false;
    }
    return words.every((word) => text.includes(word));
  };
  const filter = () => {
    const selects = Array.from(form.querySelectorAll("select"));
    const wanted = selects.filter((each) => each.value !== "").map((each) => [each.dataset.of, each.value]);
    const words = (form.elements.words?.value ?? "").toLowerCase().split(/\s+/);
    let shown = 0;
    for (const each of rows) {
      const fit = fits(each, wanted, words);
      if (each.row.hidden === fit) each.row.hidden = !fit;
      if (fit) shown += 1;
    }
    for (const section of sections) section.hidden = !section.querySelector("tr[data-text]:not([hidden])");
    said.textContent = `${shown} of ${rows.length} rows shown.`;
  };
  form.hidden = false;
  for (const event of ["input", "change"]) form.addEventListener(event, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter(); // a browser may have kept what was chosen before
});
