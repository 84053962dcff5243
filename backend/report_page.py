# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of a report: one HTML page that opens from disk, with no server and nothing to load. stdlib only.

Its look and its films that play are here; what a report says is its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import OutputError
from .markup import Html, element


def whole_page(
    title: str,
    header: Sequence[Html | None],
    links: Sequence[Html],
    main: object,
    footer: str,
    more: Sequence[Path] = (),
) -> Html:
    """The page as HTML.

    Args:
        title: of the window.
        header: what stands first.
        links: what the bar at the top holds; the button that pauses the films is added.
        main: what the page says.
        footer: a line at its end.
        more: further .css and .js files that are put into the page.
    """
    styles = [_own("report_page.css"), *(_text(path) for path in more if path.suffix == ".css")]
    scripts = [_own("report_page.js"), *(_text(path) for path in more if path.suffix == ".js")]
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        [element("style", style) for style in styles],
    ]
    button = element("button", "Pause clips", id="motion", type="button", hidden=True)
    body = [
        element("header", list(header)),
        element("nav", element("div", list(links), button), aria_label="Sections"),
        element("main", main),
        element("footer", footer),
        _large_view(),
        [element("script", script) for script in scripts],
    ]
    page = element("html", element("head", head), element("body", body), lang="en")
    return Html(f"<!doctype html>\n{page}\n")


def write_whole_page(text: str, path: Path) -> Path:
    """Write the page whole or not at all. Raises `OutputError`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}; choose another --out"
        raise OutputError(message) from error
    finally:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
    return path


def film_style(frames: int, width: int, height: int, layers: Sequence[str]) -> str:
    """The style of an element of class "film": `layers` are CSS images with the frames one below the other."""
    return f"--n:{frames};aspect-ratio:{width}/{height};background-image:{','.join(layers)}"


def _own(name: str) -> Html:
    return _text(Path(__file__).with_name(name))


def _text(path: Path) -> Html:
    return Html(path.read_text(encoding="utf-8"))


def _large_view() -> Html:
    """Where a film is shown large."""
    slider = element("input", type="range", min=0, max=1, value=0, aria_label="Frame")
    close = element("form", element("button", "Close"), method="dialog")
    row = element("div", slider, close, class_="row")
    return element("dialog", element("div", class_="place"), element("p", class_="caption soft"), row, id="large")
