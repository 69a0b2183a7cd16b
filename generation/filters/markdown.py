"""Markdown of a stranger's reduced to what can neither fetch nor link: no images, links, definitions, autolinks or HTML. Pure.

Outside code, what would become a link or a tag is taken away or escaped, and addresses become code. A code span counts as
code only where every renderer agrees: closed on its own line, and not cut by a table. A backtick that opens none is escaped,
so that it cannot open one elsewhere. Two of them stay, since ``this'' is how many texts quote; a renderer may take them for
the beginning of a span up to the next two, so until a blank line nothing counts as code that holds two or stands behind one.
"""

import html
from typing import Any

from generation.filters.hold_back import Edit, Scanned
from generation.filters.shadow import compiled

UNSAFE_LINK = "unsafe_link"
_SPAN = 400  # code points that a code span may have; a longer one is none
_URL = 1000
_INFO = 100
_QUOTES = 2  # backticks that many texts write for a quotation mark
_WORD = 3  # letters and digits of a relative address
_LOOK = 60  # what is looked back at of a line

_SPECIAL = compiled(r"\\|`+|<|&|\[|\]|!|\n|[A-Za-z][A-Za-z0-9+.\-]{0,20}:\\?/\\?/|(?i:www\\?\.)|(?i:mailto:|xmpp:)")
_TAIL = compiled(r"(?:[A-Za-z][A-Za-z0-9+.\-]{0,20}|[wW]{1,3}\\?)(?::(?:\\?/?){0,2})?\\?$")
_TICKS = compiled(r"`+")
_ENTITY = compiled(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITY_OPEN = compiled(r"&(?:#?[0-9]{0,7}|#[xX][0-9A-Fa-f]{0,6}|[A-Za-z][A-Za-z0-9]{0,31})$")
_ADDRESS = compiled(r"[^\s<>`\"|\[\]]{0,1000}")
_LINK = compiled(
    r"!?\[((?:[^\[\]\n`<\\]{1,200}|`[^\[\]\n`<|]{1,100}`){0,4})\]\(<?[^()\s<>`\\]{0,600}(?:\([^()\s<>`\\]{0,200}\))?[^()\s<>`\\]{0,100}>?"
    r"(?:[ \t]{1,4}(?:\"[^\"\n`]{0,100}\"|'[^'\n`]{0,100}'))?\)"
)
_LINK_OPEN = compiled(r"!?(?:\[[^\[\]\n<]{0,999}(?:\](?:\([^\n`\\]{0,999})?)?)?$")
_LINK_BEHIND = compiled(r"(?:[*_\"'),;!?]{0,3}|[.:])(?:\s|$)")
_BEFORE_LINK = b' \t\n("*_>|'
_NO_TAG = b" \t\n=<-0123456789,.;)"
_PUNCTUATION = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_LINE_SIGNS = compiled(r"[ \t>*+\-0-9.)]*$")
_BLANK_LINE = compiled(r"\n[ \t]*$")
_FENCE = compiled(r" {0,3}(`{3,}|~{3,})")
_FENCE_OPEN = compiled(r" {0,3}(?:`*|~*)$")
_TRAILING = b".,;:!?)'*_]}"


class MarkdownScanner:
    """Makes Markdown harmless on a stream. One for each stream."""

    def __init__(self) -> None:
        self._fence: tuple[int, int, int] | None = None  # its character, its length, how far it is indented
        self._label = False  # a bracket that began its line is open: what closes it may define a link
        self._double = False  # two backticks stand in this paragraph and may open a span
        self._line_start = True

    def scan(self, text: str, start: int, *, final: bool) -> Scanned:
        seen = text.encode("latin-1", "replace")
        pass_ = _Pass(seen, text, final=final, double=self._double)
        at = start
        while at < len(seen):
            moved = self._line(pass_, at) if self._line_start else None
            if moved is None:
                moved = self._body(pass_, at) if self._fence else self._prose(pass_, at)
            if moved < 0:
                at = ~moved
                break
            at = moved
        self._double = pass_.double
        return Scanned(tuple(pass_.edits), at)

    def _line(self, pass_: "_Pass", at: int) -> int | None:
        """The beginning of a line: where a fence opens or closes, behind its line; None where none does."""
        end = pass_.seen.find(b"\n", at)
        line = pass_.seen[at : end if end >= 0 else len(pass_.seen)]
        whole = end >= 0 or pass_.final
        if not whole and _FENCE_OPEN.match(line) is not None:
            return ~at
        if self._fence is not None:
            closed = self._close(pass_, at, line, whole=whole)
            if closed is not None or self._fence is not None:
                return closed
        self._line_start = False
        fence = _FENCE.match(line)
        return None if fence is None else self._open(pass_, at, line, fence, whole=whole)

    def _open(self, pass_: "_Pass", at: int, line: bytes, fence: Any, *, whole: bool) -> int | None:
        """A fence, unless what stands behind it on its line may make something else of it."""
        sign, info = fence.group(1)[:1], line[fence.end() :]
        if not whole and len(info) <= _INFO:
            self._line_start = True
            return ~at
        if len(info) > _INFO or b"|" in info or (sign == b"`" and b"`" in info):
            if sign == b"~":
                pass_.replace(at + fence.start(1), at + fence.start(1) + 1, "\\~")
                return at + int(fence.end())
            return None
        self._fence = (fence.group(1)[0], len(fence.group(1)), fence.start(1))
        self._label = False
        return at + int(fence.end())

    def _close(self, pass_: "_Pass", at: int, line: bytes, *, whole: bool) -> int | None:
        assert self._fence is not None
        char, length, indent = self._fence
        stripped = line.strip(b" ")
        lead = len(line) - len(line.lstrip(b" "))
        sign = bytes([char])
        if not whole and not stripped.strip(sign):
            return ~at  # it may still close the fence, and how far it is indented is not sure
        self._line_start = False
        if (lead <= 3 or indent) and len(stripped) >= length and not stripped.strip(sign):
            self._fence = None
            pass_.replace(at, at + lead, " " * (indent if lead > 3 else lead))
            return at + len(line)
        if (
            stripped and lead < indent
        ):  # a list item that it stood in has ended, and in none it has not: now it has in both
            self._fence = None
            pass_.replace(at, at, " " * indent + chr(char) * length + "\n")
        return None

    def _body(self, pass_: "_Pass", at: int) -> int:
        end = pass_.seen.find(b"\n", at)
        if end < 0:
            return len(pass_.seen)
        self._line_start = True
        return end + 1

    def _prose(self, pass_: "_Pass", at: int) -> int:
        seen = pass_.seen
        special = _SPECIAL.search(seen, at)
        tail = None if pass_.final else _TAIL.search(seen, max(at, len(seen) - 28))
        if tail is not None and (special is None or tail.start() < special.start()):
            return ~int(tail.start())
        if special is None:
            return len(seen)
        return self._sign(pass_, int(special.start()), special.group()[:1])

    def _sign(self, pass_: "_Pass", at: int, sign: bytes) -> int:
        match sign:
            case b"\n":
                self._line_start = True
                if pass_.is_blank(at):
                    self._label = pass_.double = False
                return at + 1
            case b"`":
                return pass_.ticks(at, self._label)
            case b"]":
                return self._closing(pass_, at)
            case b"[" | b"!":
                return self._bracket(pass_, at)
            case _:
                others = {b"\\": pass_.escape, b"<": pass_.tag, b"&": pass_.entity}
                return others.get(sign, pass_.address)(at)

    def _bracket(self, pass_: "_Pass", at: int) -> int:
        seen = pass_.seen
        image = seen[at : at + 1] == b"!"
        if image and at + 1 < len(seen) and seen[at + 1 : at + 2] != b"[":
            return at + 1
        link = _LINK.match(seen, at)
        if not pass_.final and (_LINK_OPEN.match(seen, at) if link is None else len(seen) - link.end() < 5):
            return ~at
        if link is not None and pass_.link(link, at):
            return int(link.end())
        if image:
            pass_.replace(at, at + 1, "\\!" if at + 1 < len(seen) else "!")
            return at + 1
        self._label = self._label or _LINE_SIGNS.match(pass_.line_before(at)) is not None
        return at + 1

    def _closing(self, pass_: "_Pass", at: int) -> int:
        if at + 1 == len(pass_.seen):
            return at + 1 if pass_.final else ~at
        behind = pass_.seen[at + 1 : at + 2]
        label, self._label = self._label, False
        if behind == b"(":
            pass_.replace(at + 1, at + 2, "\\(", UNSAFE_LINK)
            return at + 2
        if behind == b":" and label:
            pass_.replace(at + 1, at + 2, "\\:", UNSAFE_LINK)
            return at + 2
        return at + 1


class _Pass:
    """One look at what is held. A place that is not sure yet is returned as its complement, which is negative."""

    def __init__(self, seen: bytes, text: str, *, final: bool, double: bool) -> None:
        self.seen = seen
        self.text = text
        self.final = final
        self.double = double
        self.edits: list[Edit] = []

    def replace(self, start: int, end: int, by: str, category: str = "") -> None:
        if self.text[start:end] != by:
            self.edits.append(Edit(start, end, by, category))

    def line_before(self, at: int) -> bytes:
        """What stands in front of it on its line, or the last of that."""
        return self.seen[max(at - _LOOK, 0) : at].rpartition(b"\n")[2]

    def is_blank(self, at: int) -> bool:
        """Whether the line that ends here is seen from its beginning and has nothing on it."""
        return _BLANK_LINE.search(self.seen, max(at - _LOOK, 0), at) is not None

    def escape(self, at: int) -> int:
        if at + 1 == len(self.seen):
            return at + 1 if self.final else ~at
        return at + 2 if self.seen[at + 1] in _PUNCTUATION else at + 1

    def ticks(self, at: int, label: bool) -> int:
        """A code span as it is; what opens none loses its meaning."""
        run = int(_TICKS.match(self.seen, at).end()) - at
        line = self.seen[at : at + _SPAN].partition(b"\n")[0]
        over = len(line) < len(self.seen) - at or self.final
        close = self._span_end(line, run, over=over)
        if close is None and not over:
            return ~at
        if close is not None and self._is_code(at, line[:close], run, label=label):
            return at + close
        behind_sign = at > 0 and self.seen[at - 1 : at] in (b"`", b"\\")
        if run == _QUOTES and (close is None or self.double) and not behind_sign:
            self.double = True
            return at + run
        self.replace(at, at + min(run, _SPAN), "\\`" * min(run, _SPAN))
        return at + min(run, _SPAN)

    def _is_code(self, at: int, span: bytes, run: int, *, label: bool) -> bool:
        """Whether every renderer takes this for code, whatever stood in front of it."""
        content = span[run:-run]
        risky = any(sign in content for sign in (b"[", b"<", b"//", b"www", b"WWW"))
        if (b"|" in content and risky) or (label and b"]" in content):
            return False
        if not self.double:
            return True
        runs = [ticks.end() - ticks.start() for ticks in _TICKS.finditer(span)]
        return _QUOTES not in runs and not (at and self.seen[at - 1 : at] in (b"`", b"\\"))

    def _span_end(self, line: bytes, run: int, *, over: bool) -> int | None:
        at = run
        while (ticks := _TICKS.search(line, at)) is not None:
            if ticks.end() == len(line) and not over:
                return None  # it may be longer
            if ticks.end() - ticks.start() == run:
                return int(ticks.end())
            at = ticks.end()
        return None

    def tag(self, at: int) -> int:
        if at + 1 == len(self.seen) and not self.final:
            return ~at
        if self.seen[at + 1 : at + 2] not in (b"", *(bytes([c]) for c in _NO_TAG)):
            self.replace(at, at + 1, "\\<")
        return at + 1

    def entity(self, at: int) -> int:
        if not self.final and _ENTITY_OPEN.match(self.seen, at) is not None:
            return ~at
        match = _ENTITY.match(self.seen, at)
        if match is not None and not _is_plain(match.group().decode()):
            self.replace(at, at + 1, "\\&")
        return at + 1

    def address(self, at: int) -> int:
        """An address as code, which nothing makes a link of."""
        end = int(_ADDRESS.match(self.seen, at).end())
        if end == len(self.seen) and end - at < _URL and not self.final:
            return ~at
        last = at + len(self.seen[at:end].rstrip(_TRAILING)) if end - at < _URL else end
        last = max(last, at + 1)
        before = " " if at and self.seen[at - 1] in b"`\\" else ""
        behind = " " if self.seen[last : last + 1] == b"`" else ""
        self.edits.append(Edit(at, last, f"{before}`{self.text[at:last]}`{behind}"))
        return last

    def link(self, link: Any, at: int) -> bool:
        """A whole link with blanks around it becomes its text. Anything else would be glued to what stands beside it."""
        if at and self.seen[at - 1 : at] not in tuple(bytes([c]) for c in _BEFORE_LINK):
            return False
        if _LINK_BEHIND.match(self.seen, link.end()) is None:
            return False
        if not _leads_somewhere(self.seen[link.end(1) + 2 : link.end() - 1]):
            return False
        label = self.text[link.start(1) : link.end(1)]
        self.edits.append(Edit(at, link.end(), safe_markdown(label, inline=True), UNSAFE_LINK))
        return True


def _is_plain(entity: str) -> bool:
    """Whether an entity stands for a letter of no alphabet that addresses are written in, or for nothing at all."""
    meant = html.unescape(entity)
    return meant == entity or not meant.isascii() or entity in ("&amp;", "&lt;", "&gt;", "&quot;")


def _leads_somewhere(target: bytes) -> bool:
    """Whether this looks like the place that a link leads to, and not like a formula such as [Ca](2+)."""
    count = sum(bytes([char]).isalnum() for char in target)
    return count >= _WORD or (count > 0 and any(sign in target for sign in b"/.:#?"))


def safe_markdown(text: str, *, inline: bool = False) -> str:
    """The whole text at once; `inline` text begins no line."""
    scanner = MarkdownScanner()
    scanner._line_start = not inline  # noqa: SLF001
    out, at = [], 0
    for edit in scanner.scan(text, 0, final=True).edits:
        out += [text[at : edit.start], edit.replacement]
        at = edit.end
    return "".join([*out, text[at:]])
