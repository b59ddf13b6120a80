"""A report's page taken apart: its tags, its tables as text, what it would ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Page(HTMLParser):
    """Every tag with its attributes; tables as rows of cells, by the heading above them."""

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._heading, self._inside = "", ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("h1", "h2", "h3", "h4", "h5", "summary"):
            self._heading, self._inside = "", "heading"
        elif tag in ("script", "style"):
            self._inside = tag
            self.scripts += [""] if tag == "script" else []
        elif tag == "tr":
            self.tables.setdefault(self._heading.strip(), []).append([])
        elif tag in ("td", "th"):
            self.tables[self._heading.strip()][-1].append("")
            self._inside = "cell"
        elif tag == "small":
            self.handle_data(" ")

    def handle_endtag(self, tag):
        if self._inside != "cell" or tag in ("td", "th"):
            self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data
        if self._inside == "heading":
            self._heading += data
        elif self._inside == "cell":
            self.tables[self._heading.strip()][-1][-1] += data.strip() or " "

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def row(self, heading: str, first: str) -> list[str]:
        """The row that begins with `first` in a table below a heading."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self.tables[heading]]
        return next(row for row in rows if row and row[0] == first)[1:]


def asked_for(page: Page) -> list[str]:
    """What the page would ask a network or disk for: nothing, if it is whole."""
    found = []
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            own = value.startswith(("data:image/", "#"))
            if name in ("src", "srcset", "data", "poster", "background", "action", "xlink:href"):
                found += [value] * (not own)
            elif name == "href" and not own:
                found += [value] * (tag != "a" or not value.startswith("https://"))
            elif name == "style" and "url(" in value:
                found.append(value)
        found += [tag] * (tag in ("link", "iframe", "object", "embed", "base", "form"))
    style = page.source.split("<style>")[1].split("</style>")[0]
    return found + [part for part in ("url(", "@import") if part in style]
