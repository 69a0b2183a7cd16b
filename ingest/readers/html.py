"""HTML: the main text without navigation, page header and footer, asides, scripts and what is hidden from a reader.

The tree is walked with a stack of our own: pages nest thousands deep, and recursion would end in a crash.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ingest.model import BlockKind, Parsed
from ingest.readers.metadata import key_of, said
from ingest.readers.tables import add_table
from ingest.readers.text import TextBuilder, decode, not_empty, one_line

_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLOCKS = {
    *("p", "div", "section", "article", "main", "ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th", "thead"),
    *("tbody", "tfoot", "caption", "blockquote", "pre", "figure", "figcaption", "form", "fieldset", "hr", "address"),
    *("header", "footer", "details", "summary", "body", "center", "legend", "option"),
    *_HEADINGS,
}
_GONE = (
    "script, style, noscript, template, svg, math annotation, nav, aside, iframe, object, embed, canvas, select, button, "
    "input, textarea, dialog, [hidden], [aria-hidden=true], [role=navigation], [role=search], [role=complementary], "
    "[role=contentinfo], a.headerlink, a.anchor-link"
)
_MOST_META = 500
_ANCHORED = {
    *_HEADINGS,
    "section",
    "article",
    "div",
    "a",
    "p",
    "dl",
    "dt",
    "dd",
    "table",
    "pre",
    "ul",
    "ol",
    "li",
    "span",
}
_DEEPEST = 8  # an indentation further in says nothing more
_SELF_CLOSED = re.compile(
    r"<(title|script|style|iframe|textarea|a|p|div|span|td|th|li|i|b|em|strong)\b([^<>]{0,2000})/>", re.IGNORECASE
)
_ID = re.compile(r"[^\s\"'<>]{1,200}")
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?:\D|$)", re.IGNORECASE)


def read(name: str, data: bytes) -> Parsed:
    """The readable part of a page. Raises NotText and EmptyText."""
    page = main_text(decode(name, data))
    return replace(page, text=not_empty(name, page.text))


def main_text(markup: str, *, xml: bool = False) -> Parsed:
    """The readable part of decoded markup, which may be nothing; without a title of its own or a heading, none.
    In `xml` an element may close itself, which a reader of HTML takes for one that is never closed."""
    tree = LexborHTMLParser(_SELF_CLOSED.sub(r"<\1\2></\1>", markup) if xml or markup.startswith("<?xml") else markup)
    found = tree.css_first("title")
    title = one_line(found.text()) if found is not None else ""
    metadata = _metadata(tree)
    _remove_unread(tree)
    root = _main(tree)
    builder = TextBuilder()
    if root is not None:
        _Walk(builder).read(root)
    heading = next((block.heading_path[-1] for block in builder.blocks if block.kind == "heading"), "")
    return Parsed(title or heading, builder.text, tuple(builder.blocks), "text/html", metadata=metadata)


def _metadata(tree: LexborHTMLParser) -> dict[str, str]:
    """What meta elements, the canonical link and the root's language say; of the rest of a head nothing is kept."""
    found = [("url", node.attributes.get("href")) for node in tree.css("link[rel=canonical][href]")[:1]]
    found += [("language", node.attributes.get("lang")) for node in tree.css("html[lang]")[:1]]
    for node in tree.css("meta[content]")[:_MOST_META]:
        names = node.attributes
        name = names.get("name") or names.get("property") or names.get("itemprop") or names.get("http-equiv") or ""
        if (key := key_of(name)) is not None:
            found.append((key, names.get("content")))
    return said(found)


def _remove_unread(tree: LexborHTMLParser) -> None:
    """A header inside the main text holds its title and stays; the page's own does not."""
    for node in tree.css(_GONE):
        node.remove()
    for node in tree.css("[style]"):
        if _UNSEEN.search(node.attributes.get("style") or ""):
            node.remove()
    for node in tree.css("body > header, body > footer, body > div > header, body > div > footer, [role=banner]"):
        if node.css_first("main, article, h1") is None:
            node.remove()


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """The element that says it is the main text, if it holds a fair share of the text; otherwise the body."""
    body = tree.body
    if body is None:
        return tree.root
    enough = len(body.text()) // 4
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and len(found[0].text()) >= max(enough, 1):
            return found[0]
    return body


class _Walk:
    """One pass over the tree: inline text gathers in `_inline` until a block begins or ends.

    `_anchor` is the last id before the block; a browser that opens it shows the block, or the beginning of its section.
    """

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._inline: list[str] = []
        self._anchor: str | None = None

    def read(self, root: LexborNode) -> None:
        for node, leaving in _steps(root, self._takes_whole):
            tag = node.tag or ""
            if tag == "-text":
                self._inline.append(node.text_content or "")
            elif tag == "br":
                self._inline.append("\n")
            elif tag in _BLOCKS:
                self._flush("heading" if leaving and tag in _HEADINGS else "paragraph", _HEADINGS.get(tag))
            if not leaving and tag in _ANCHORED:
                self._anchor = _id(node) or self._anchor
        self._flush("paragraph", None)

    def _flush(self, kind: BlockKind, level: int | None) -> None:
        text = _lines("".join(self._inline))
        self._inline.clear()
        if kind == "heading":
            heading = text.replace("\n", " ").removesuffix("¶")
            self._builder.add(kind, heading, level=level, anchor=self._anchor)
        else:
            self._builder.add(kind, text, anchor=self._anchor)

    def _takes_whole(self, node: LexborNode) -> bool:
        """Code, lists and real tables become one block each; a table that lays out a page is walked through."""
        tag = node.tag
        if tag == "pre":
            self._begin(node)
            self._builder.add("code", node.text(), anchor=self._anchor)
        elif tag in ("ul", "ol", "dl") and node.css_first("table, pre, h1, h2, h3, h4, h5, h6, li p + p") is None:
            self._begin(node)
            self._builder.add("list", _list_text(node), anchor=self._anchor)
        elif tag == "table" and _is_data(node):
            self._begin(node)
            _add_table(self._builder, node, self._anchor)
        else:
            return False
        return True

    def _begin(self, node: LexborNode) -> None:
        """A block that is taken whole: what stood in front of it ends, and its own id is its anchor."""
        self._flush("paragraph", None)
        self._anchor = _id(node) or self._anchor


def _id(node: LexborNode) -> str | None:
    """The id of an element, or the name of an old anchor; None for one that no link could spell."""
    names = node.attributes
    found = names.get("id") or (names.get("name") if node.tag == "a" else None) or ""
    return found if _ID.fullmatch(found) else None


def _steps(root: LexborNode, whole: "object" = None) -> Iterator[tuple[LexborNode, bool]]:
    """Each node on entering and, elements, again on leaving; what `whole` has taken is not entered."""
    node: LexborNode | None = root
    while node is not None:
        taken = callable(whole) and node.tag in ("pre", "ul", "ol", "dl", "table") and whole(node)
        if not taken:
            yield node, False
        if not taken and node.child is not None:
            node = node.child
            continue
        if not taken and node.tag != "-text":
            yield node, True
        while node is not None and node.mem_id != root.mem_id and node.next is None:
            node = node.parent
            if node is not None:
                yield node, True
        if node is None or node.mem_id == root.mem_id:
            return
        node = node.next


def _lines(text: str) -> str:
    """White space as a browser shows it: single spaces, breaks where `br` put them."""
    return "\n".join(line for line in (" ".join(part.split()) for part in text.split("\n")) if line)


def _list_text(root: LexborNode) -> str:
    """Items behind dashes or numbers, indented by depth."""
    lines: list[str] = []
    inline: list[str] = []
    depth, mark = 0, ""
    counters: list[int] = []

    def flush() -> None:
        nonlocal mark
        text = " ".join("".join(inline).split())
        inline.clear()
        if text:
            lines.append(
                f"{'  ' * min(depth - 1, _DEEPEST)}{mark}{text}" if mark else f"{'  ' * min(depth, _DEEPEST)}{text}"
            )
            mark = ""

    for node, leaving in _steps(root):
        tag = node.tag or ""
        if tag == "-text":
            inline.append(node.text_content or "")
            continue
        if tag in _BLOCKS or tag == "br":
            flush()
        if tag in ("ul", "ol", "dl"):
            depth += -1 if leaving else 1
            counters.pop() if leaving else counters.append(0)
        elif tag in ("li", "dt") and not leaving and counters:
            counters[-1] += 1
            mark = f"{counters[-1]}. " if node.parent is not None and node.parent.tag == "ol" else "- "
    flush()
    return "\n".join(lines)


def _is_data(table: LexborNode) -> bool:
    """Rows of short cells are data; a table around tables, headings or code lays out a page."""
    return (
        table.css_first("table table, h1, h2, h3, h4, pre") is None and table.css_first("tr td + td, tr th") is not None
    )


def _add_table(builder: TextBuilder, table: LexborNode, anchor: str | None) -> None:
    """The caption, then the rows."""
    caption = table.css_first("caption")
    builder.add("paragraph", " ".join(caption.text().split()) if caption is not None else "", anchor=anchor)
    rows: list[list[str]] = []
    marked = False
    for row in table.css("tr"):
        cells = [cell for cell in row.iter() if cell.tag in ("td", "th")]
        marked = marked or (not rows and bool(cells) and all(cell.tag == "th" for cell in cells))
        rows.append([" ".join(cell.text(separator=" ").split()) for cell in cells])
    add_table(builder, rows, marked=marked, anchor=anchor)
