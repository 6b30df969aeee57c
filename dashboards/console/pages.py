"""The pages as they are served: one head for all, and a table of what differs. Made once, when the module is loaded."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).parent / "templates"


class _Page(NamedTuple):
    """What is a page's own; its body is the file of its name.

    Attributes:
        title: Of the window, before a script has its say.
        styles: Style sheets beside those of every page.
        script: Its module; "" where it has none.
        look: Class of its body.
        installs: Whether it can be put on a phone's home screen: what opens from there is the ward, so staff's pages.
    """

    title: str
    styles: tuple[str, ...]
    script: str = ""
    look: str = ""
    installs: bool = False


_PAGES: Final = {
    "index": _Page("Teleward", ("frame", "ward", "patient", "dialog", "pages"), "main", installs=True),
    "answer": _Page("Answer – Teleward", ("dialog", "small"), "answer", "door", installs=True),
    "my": _Page("My values – Teleward", ("patient", "small", "my"), "my", "my"),
    "offline": _Page("Not connected – Teleward", ("dialog", "small"), "offline", "door"),
    "refused": _Page("Not for you – Teleward", ("dialog", "small"), look="door"),
    "sign-in": _Page("Sign in – Teleward", ("dialog",), "sign-in", "door"),
}


def _made(name: str, page: _Page) -> bytes:
    head = ['<link rel="manifest" href="/manifest.webmanifest">'] if page.installs else []
    head += [f'<link rel="stylesheet" href="/static/css/{style}.css">' for style in ("base", *page.styles)]
    if page.script:
        head.append(f'<script type="module" src="/static/js/{page.script}.js"></script>')
    text = Template((_FOLDER / "page.html").read_text("utf-8")).substitute(
        title=page.title,
        head="\n".join(f"    {line}" for line in head),
        look=f' class="{page.look}"' if page.look else "",
        body=(_FOLDER / f"{name}.html").read_text("utf-8").rstrip("\n"),
    )
    return text.encode()


HTML: Final = {name: _made(name, page) for name, page in _PAGES.items()}
"""Name -> the whole page."""
