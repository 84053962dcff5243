// SPDX-License-Identifier: GPL-3.0-or-later
// Filters: a preview is shown where it agrees with every choice; the address keeps them, so that a view can be sent on.
(() => {
  const form = document.getElementById("filters"), figures = [...document.querySelectorAll(".batch figure")];
  const shown = document.getElementById("shown"), none = document.getElementById("none");
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of given) if (form.elements[name]) form.elements[name].value = value;
  const update = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value);
    const words = (form.elements.find.value || "").toLowerCase();
    let count = 0;
    for (const figure of figures) {
      const fits = wanted.every(([name, value]) => name === "find" || figure.dataset[name] === value);
      figure.hidden = !(fits && figure.dataset.find.includes(words));
      if (!figure.hidden) count += 1;
    }
    shown.textContent = count === figures.length ? `${count} previews` : `${count} of ${figures.length}`;
    none.hidden = count > 0;
    history.replaceState(null, "", "#" + new URLSearchParams(wanted));
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  update();
})();
