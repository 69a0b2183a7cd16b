"""HTML and DOCX: the stored text is what a reader would see."""

import io
import re
import zipfile

import docx
import pytest

from ingest.errors import Broken, EmptyText, Encrypted, FileError
from ingest.readers.registry import read, supported
from tests.ingest.reading import SHARED, keeps_its_promises, outline, texts

HTML = """<!doctype html><html><head><title>The  page</title><style>p{}</style></head><body>
<header><nav>Menu</nav>Site</header><aside>Advert</aside>
<main><header><h1>Top<a class="headerlink">¶</a></h1></header>
<p>Some <b>bold</b>   text,<br>next line.</p><script>evil()</script>
<p hidden>hidden</p><p style="display: none">unseen</p>
<h2>Data</h2><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2 <i>x</i></td></tr></table>
<pre>code
  here</pre><ul><li>one<ul><li>deep</li></ul></li><li>two</li></ul><ol><li>first</li></ol>
<div>tail</div></main><footer>Copyright</footer></body></html>"""


def test_html_main_text():
    parsed = read("a.html", HTML.encode())
    keeps_its_promises(parsed)
    assert parsed.title == "The page"
    assert texts(parsed) == [
        *("Top", "Some bold text,\nnext line.", "Data", "a | b\n1 | 2 x", "code\n  here"),
        *("- one\n  - deep\n- two", "1. first", "tail"),
    ]
    assert outline(parsed) == [("Top",), ("Top", "Data")]


def test_html_says_its_encoding():
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет, мир</p></body></html>'
    assert read("a.html", page.encode("cp1251")).text == "Привет, мир"


def test_html_without_text():
    with pytest.raises(EmptyText):
        read("a.html", b"<html><body><nav>menu</nav><script>x</script></body></html>")


@pytest.mark.parametrize("unit", ["<div>", "<table><tr><td>", "<ul><li>", "<b>", "<blockquote>"])
def test_html_nested_deep(unit):
    assert "x" in read("a.html", (unit * 3000 + "x").encode()).text


def _docx() -> bytes:
    document = docx.Document()
    document.core_properties.title = ""
    document.add_heading("Handbook", 0)
    document.add_heading("Part", 1)
    document.add_paragraph("A paragraph.")
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["a", "b", "1", "2"], strict=True):
        cell.text = text
    document.add_paragraph("After the table.")
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_docx_in_document_order():
    parsed = read("h.docx", _docx())
    keeps_its_promises(parsed)
    assert parsed.title == "Handbook"
    assert texts(parsed) == ["Handbook", "Part", "A paragraph.", "- one\n- two", "a | b\n1 | 2", "After the table."]
    assert [block.kind for block in parsed.blocks] == ["heading", "heading", "paragraph", "list", "table", "paragraph"]
    assert outline(parsed) == [("Handbook",), ("Part",)]


def _strict(data: bytes) -> bytes:
    """The same document in the strict form of the format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as package, zipfile.ZipFile(buffer, "w") as strict:
        for name in package.namelist():
            text = package.read(name)
            if name.endswith((".xml", ".rels")):
                text = re.sub(rb"schemas\.openxmlformats\.org/(wordprocessingml|officeDocument)/2006/",
                              rb"purl.oclc.org/ooxml/\1/", text)  # fmt: skip
            strict.writestr(name, text)
    return buffer.getvalue()


def test_docx_in_the_strict_form():
    assert read("h.docx", _strict(_docx())) == read("h.docx", _docx())


W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def _word(body: str, **parts: str) -> bytes:
    """A document written by hand, with parts such as `numbering`."""
    links = "".join(f'<Relationship Id="{kind}" Type="x/{kind}" Target="{kind}.xml"/>' for kind in parts)
    head = '<Relationship Id="m" Type="x/officeDocument" Target="word/document.xml"/>'
    members = {
        "_rels/.rels": f"<Relationships>{head}</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
        "word/_rels/document.xml.rels": f"<Relationships>{links}</Relationships>",
    }
    members |= {f"word/{kind}.xml": f'<w:{kind} xmlns:w="{W}">{inner}</w:{kind}>' for kind, inner in parts.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for member, text in members.items():
            package.writestr(member, text)
    return buffer.getvalue()


def _para(text: str, properties: str = "", behind: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r>{behind}</w:p>"


def _numbered(number: int, level: int = 0) -> str:
    return f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'


def _levels(*levels: tuple[str, str]) -> str:
    return "".join(
        f'<w:lvl w:ilvl="{place}"><w:start w:val="1"/><w:numFmt w:val="{alphabet}"/><w:lvlText w:val="{pattern}"/></w:lvl>'
        for place, (alphabet, pattern) in enumerate(levels)
    )


NUMBERING = (
    f'<w:abstractNum w:abstractNumId="0">{_levels(("decimal", "%1."), ("decimal", "%1.%2"), ("lowerRoman", "(%3)"))}'
    f'</w:abstractNum><w:abstractNum w:abstractNumId="1">{_levels(("bullet", "·"), ("upperLetter", "%2)"))}</w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>'
    '<w:num w:numId="3"><w:abstractNumId w:val="0"/>'
    '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num>'
)
STYLES = (
    '<w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="Own"><w:name w:val="Clause"/><w:basedOn w:val="H1"/>'
    f"<w:pPr>{_numbered(1)}</w:pPr></w:style>"
)


def test_docx_numbers_are_those_that_word_shows():
    style = '<w:pStyle w:val="Own"/>'
    body = "".join(
        [
            *(_para("Scope", style), _para("first", _numbered(1, 1)), _para("second", _numbered(1, 1))),
            *(_para("deep", _numbered(1, 2)), _para("Terms", style), _para("again", _numbered(1, 1))),
            *(_para("Plain", f'{style}<w:numPr><w:numId w:val="0"/></w:numPr>'), _para("dot", _numbered(2))),
            *(_para("letter", _numbered(2, 1)), _para("restarted", _numbered(3)), _para("unknown", _numbered(9))),
        ]
    )
    parsed = read("a.docx", _word(body, numbering=NUMBERING, styles=STYLES))
    keeps_its_promises(parsed)
    assert texts(parsed) == [
        *("1. Scope", "1.1 first\n  1.2 second\n    (i) deep", "2. Terms", "2.1 again", "Plain"),
        "- dot\n  A) letter\n7. restarted\n- unknown",
    ]
    assert outline(parsed) == [("1. Scope",), ("2. Terms",), ("Plain",)]


M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def _m(**parts: str) -> str:
    return "".join(f"<m:{name}>{part}</m:{name}>" for name, part in parts.items())


def _r(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (_m(f=_m(num=_r("a"), den=_r("2b"))), "(a)/(2b)"),
        (_m(sSup=_m(e=_r("x"), sup=_r("2"))) + _r("+1"), "x^2+1"),
        (_m(sSup=_m(e=_r("xy"), sup=_r("n+1"))), "xy^(n+1)"),
        (_m(rad=_m(deg="", e=_m(sSub=_m(e=_r("x"), sub=_r("i"))))), "√(x_i)"),
        (
            _m(nary='<m:naryPr><m:chr m:val="∑"/></m:naryPr>' + _m(sub=_r("i=1"), sup=_r("n"), e=_r("i"))),
            "∑_(i=1)^(n) i",
        ),
        (_m(d='<m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr>' + _m(e=_r("a"))), "[a]"),
        (_m(d=_m(e=_r("a"))), "(a)"),
        (_m(f="", sSup=""), "()/()^"),
    ],
)
def test_docx_formulas_are_told_in_a_line(formula, line):
    assert read("a.docx", _word(f"<w:p {M}><m:oMath>{formula}</m:oMath></w:p>")).text == line


def test_docx_notes_and_comments_stand_behind_what_they_are_on():
    body = _para("Said", behind='<w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:commentReference w:id="0"/></w:r>')
    notes = f'<w:footnote w:id="1" w:type="separator">{_para("-")}</w:footnote><w:footnote w:id="2">{_para("Why")}</w:footnote>'
    parsed = read(
        "a.docx",
        _word(body + _para("Next"), footnotes=notes, comments=f'<w:comment w:id="0">{_para("Hm")}</w:comment>'),
    )
    assert texts(parsed) == ["Said", "Footnote: Why", "Comment: Hm", "Next"]


ROWS = "".join(f"<tr><td>City {number}</td><td>{number}</td><td>far away</td></tr>" for number in range(50))


def test_html_long_table_repeats_its_header():
    page = f"<table><tr><th>Name</th><th>People</th><th>Where</th></tr>{ROWS}</table>"
    parsed = read("a.html", page.encode())
    keeps_its_promises(parsed)
    assert texts(parsed)[:2] == ["Name | People | Where", "Name: City 0 | People: 0 | Where: far away"]
    assert len(parsed.blocks) == 51


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (_docx()[:500], Broken),
        (b"PK\x03\x04 nonsense", Broken),
        (b"", Broken),
        (OLE + "EncryptedPackage".encode("utf-16-le"), Encrypted),
        (OLE + b"a .doc file", Broken),
        (_word("<w:p>"), Broken),
        (_word("", styles="<w:style/>"), EmptyText),
    ],
)
def test_docx_refused(data, error):
    with pytest.raises(error):
        read("h.docx", data)


@pytest.mark.shared
@pytest.mark.parametrize(
    "folder", ["ingest_pypdf/files", *(f"ingest_docling/{kind}/sources" for kind in ("html", "docx", "pdf", "md"))]
)
def test_awkward_real_files(folder):
    """Each reads and keeps its promises, or says with an error of ours why not."""
    if not (SHARED / folder).exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    read_well = 0
    for path in (SHARED / folder).rglob("*"):
        if path.is_file() and supported(path.name):
            try:
                keeps_its_promises(read(path.name, path.read_bytes()))
                read_well += 1
            except FileError:
                continue
    assert read_well
