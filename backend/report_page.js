// SPDX-License-Identifier: GPL-3.0-or-later
// Pausing, stepping by arrow keys, and a larger look at one film; the page reads without it.
(() => {
  const root = document.documentElement, button = document.getElementById("motion");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let playing = !still;
  const show = () => {
    root.classList.toggle("playing", playing); root.classList.toggle("paused", !playing);
    button.textContent = playing ? "Pause clips" : "Play clips"; button.setAttribute("aria-pressed", String(!playing));
  };
  button.hidden = false; show();
  button.addEventListener("click", () => {
    playing = !playing; show();
    document.querySelectorAll(".film").forEach(film => { film.style.animation = film.style.backgroundPosition = ""; });
  });
  const frameOf = film => Math.round(parseFloat(getComputedStyle(film).backgroundPositionY) / 100 * (film.dataset.n - 1)) || 0;
  const hold = (film, frame) => {
    const last = film.dataset.n - 1; frame = (frame + last + 1) % (last + 1);
    film.style.animation = "none"; film.style.backgroundPosition = "0 " + (last ? frame / last * 100 : 0) + "%";
    return frame;
  };
  const dialog = document.getElementById("large"), place = dialog.querySelector(".place"), slider = dialog.querySelector("input");
  const caption = dialog.querySelector(".caption");
  const open = film => {
    const copy = film.cloneNode(true); copy.removeAttribute("tabindex"); copy.style.animation = copy.style.backgroundPosition = "";
    const [w, h] = copy.style.aspectRatio.split("/").map(Number); copy.style.width = "min(100%, calc(62vh * " + w / h + "))";
    place.replaceChildren(copy); caption.textContent = film.getAttribute("aria-label");
    slider.max = film.dataset.n - 1; slider.value = 0; slider.disabled = film.dataset.n < 2; dialog.showModal();
    slider.oninput = () => hold(copy, Number(slider.value));
  };
  document.addEventListener("click", event => {
    const film = event.target.closest(".film");
    if (film && !dialog.contains(film)) open(film); else if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", event => {
    const film = event.target.closest && event.target.closest(".film");
    if (!film) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(film); }
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault(); hold(film, frameOf(film) + (event.key === "ArrowRight" ? 1 : -1));
    }
  });
  document.addEventListener("focusout", event => {
    if (event.target.classList && event.target.classList.contains("film")) event.target.style.animation = event.target.style.backgroundPosition = "";
  });
  dialog.addEventListener("close", () => place.replaceChildren());
})();
