// SPDX-License-Identifier: GPL-3.0-or-later
// Sorting, pausing, stepping by arrow keys, and a larger look at one clip; the page reads without it.
(() => {
  const root = document.documentElement, button = document.getElementById("motion");
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const show = () => {
    root.classList.toggle("playing", playing); root.classList.toggle("paused", !playing);
    button.textContent = playing ? "Pause clips" : "Play clips"; button.setAttribute("aria-pressed", String(!playing));
  };
  button.hidden = false; show();
  const release = card => { card.classList.remove("held"); card.style.removeProperty("--at"); delete card.dataset.at; };
  button.addEventListener("click", () => { playing = !playing; show(); document.querySelectorAll(".held").forEach(release); });
  const hold = (card, frame) => {
    const count = Number(card.dataset.n); frame = (frame + count) % count;
    card.dataset.at = frame; card.classList.add("held");
    card.style.setProperty("--at", (count > 1 ? frame / (count - 1) * 100 : 0) + "%");
    return frame;
  };
  const dialog = document.getElementById("large"), place = dialog.querySelector(".place");
  const slider = dialog.querySelector("input"), output = dialog.querySelector("output");
  const open = card => {
    const copy = card.cloneNode(true); copy.removeAttribute("id"); copy.removeAttribute("tabindex"); release(copy);
    place.replaceChildren(copy); slider.max = copy.dataset.n - 1; slider.value = 0; output.textContent = "";
    slider.disabled = copy.dataset.n < 2; dialog.showModal();
    slider.oninput = () => { output.textContent = "frame " + (hold(copy, Number(slider.value)) + 1); };
  };
  document.addEventListener("click", event => {
    const card = event.target.closest(".clip");
    if (card && !dialog.contains(card)) open(card); else if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", event => {
    const card = event.target.closest && event.target.closest(".clip");
    if (!card || dialog.contains(card)) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(card); }
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault(); hold(card, Number(card.dataset.at || 0) + (event.key === "ArrowRight" ? 1 : -1));
    }
  });
  document.addEventListener("focusout", event => { if (event.target.classList.contains("clip")) release(event.target); });
  dialog.addEventListener("close", () => place.replaceChildren());

  document.querySelectorAll(".sortable th").forEach((heading, column) => heading.addEventListener("click", () => {
    const table = heading.closest("table"), body = table.tBodies[0];
    const down = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = heading.classList.contains("n");
    // Rows without a value stay at the end, whichever way it is sorted.
    const rows = [...body.rows].map(row => [row.cells[column].dataset.v, row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return down ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  }));
})();
