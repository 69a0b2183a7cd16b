"""HTML, PDF and DOCX: the stored text is what a reader would see."""

import io
import random
import re
import zipfile
import zlib

import docx
import pytest

from ingest.errors import ArchiveBomb, Broken, EmptyText, Encrypted, FileError, TooLarge
from ingest.readers import pdf as pdf_reader
from ingest.readers.pdf_page import Cell, Joiner, Line
from ingest.readers.registry import read, supported
from tests.ingest.reading import SHARED, keeps_its_promises, outline, pdf, pdf_of_streams, placed, texts

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


def test_pdf_pages_title_and_outline():
    first = "Chapter One\nThe first page says something.\nMore of it follows here."
    data = pdf(first, "Chapter Two\nThe second page.", title="A Book", outline_of={"Chapter One": 0, "Chapter Two": 1})
    parsed = read("b.pdf", data)
    keeps_its_promises(parsed)
    assert parsed.title == "A Book"
    assert parsed.pages == 2
    assert [(block.page, block.heading_path[-1:]) for block in parsed.blocks if block.kind == "heading"] == [
        (1, ("Chapter One",)),
        (2, ("Chapter Two",)),
    ]
    assert parsed.blocks[-1].page == 2


def test_pdf_running_lines_go():
    pages = [f"The Running Title\nBody of page {name} stands here.\n{number}" for number, name in enumerate("abcdef")]
    parsed = read("b.pdf", pdf(*pages))
    assert "Running" not in parsed.text
    assert texts(parsed)[0] == "Body of page a stands here."


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pdf("", ""), EmptyText),
        (pdf("text")[:60], Broken),
        (b"no pdf at all", Broken),
        (b"", Broken),
    ],
)
def test_pdf_refused(data, error):
    with pytest.raises(error):
        read("b.pdf", data)


def test_pdf_with_too_many_pages():
    with pytest.raises(TooLarge):
        pdf_reader.read("b.pdf", pdf("a", "b", "c"), max_pages=2)


def _line(text: str) -> Line:
    return Line((Cell(text, (0.0, 0.0, 1.0, 1.0)),))


def test_pdf_hyphens_join_only_where_the_document_says_so():
    join = Joiner([[_line("A retrieval of well-known things.")]]).text
    assert join("retrie\ufffeval") == "retrieval"
    assert join("well\ufffeknown") == "well-known"
    assert join("un\ufffeseen") == "un-seen"


@pytest.mark.parametrize(
    ("title", "kept"), [("0000320193-22-000070", ""), ("Report.docx", ""), ("Q3", ""), ("Ein Buch", "Ein Buch")]
)
def test_pdf_title_is_one_that_people_gave(title, kept):
    assert read("b.pdf", pdf("text", title=title)).title == kept


def test_pdf_blocks_know_where_they_stand():
    parsed = read(
        "b.pdf", pdf_of_streams(placed((100, 700, "Above stands this."), (100, 640, "Below"), (300, 640, "aside")))
    )
    above, below = (block.box for block in parsed.blocks)
    assert above is not None
    assert below is not None
    assert above[0] == pytest.approx(100, abs=3)
    assert above[1] < 700 < above[3]
    assert below[1] < 640 < below[3] < above[1]
    assert below[2] > 300


def test_pdf_pages_of_pictures_are_told():
    picture = "0 0 200 200 re f"
    parsed = read("b.pdf", pdf_of_streams(picture, placed((50, 700, "text")), picture, picture, ""))
    assert parsed.metadata["pages_without_text"] == "1, 3-4"
    with pytest.raises(EmptyText) as raised:
        read("b.pdf", pdf_of_streams(picture, picture))
    assert "2 of its 2 pages are pictures" in raised.value.message


STATEMENT = [
    *((50, 760, "The figures of the year are these:"), (300, 745, "Three Months"), (460, 745, "Nine Months")),
    *((282, 732, "2023"), (362, 732, "2022"), (442, 732, "2023"), (522, 732, "2022"), (50, 720, "Sales:")),
    *((50, 708, "Products"), (250, 708, "$"), (280, 708, "1,200"), (335, 708, "$"), (362, 708, "900")),
    *((415, 708, "$"), (442, 708, "3,100"), (500, 708, "$"), (540, 708, "2")),
    *((50, 696, "Services"), (284, 696, "\\(20\\)"), (376, 696, "-"), (446, 696, "50"), (526, 696, "70")),
    (50, 650, "Prose goes on below the table and says that 2023 was a good year."),
]


def test_pdf_tables_say_what_their_columns_are():
    parsed = read("b.pdf", pdf_of_streams(placed(*STATEMENT)))
    keeps_its_promises(parsed)
    assert texts(parsed) == [
        "The figures of the year are these:",
        *("Three Months | Nine Months", "2023 | 2022 | 2023 | 2022", "Sales:"),
        "Products | Three Months 2023: $ 1,200 | Three Months 2022: $ 900 | Nine Months 2023: $ 3,100 | Nine Months 2022: $ 2",
        "Services | Three Months 2023: (20) | Three Months 2022: - | Nine Months 2023: 50 | Nine Months 2022: 70",
        "Prose goes on below the table and says that 2023 was a good year.",
    ]
    assert [block.kind for block in parsed.blocks] == ["paragraph", *["table"] * 5, "paragraph"]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([(50, 700, "Rome"), (200, 700, "3"), (50, 688, "Oslo"), (200, 688, "1")], ["Rome | 3", "Oslo | 1"]),
        (
            [(50, 712, "Year ended"), (200, 712, "2023"), (50, 700, "Rome"), (200, 700, "3"), (50, 688, "Oslo"), (200, 688, "1")],
            ["Year ended | 2023", "Rome | Year ended 2023: 3", "Oslo | Year ended 2023: 1"],
        ),
        ([(50, 700, "one column of text"), (300, 700, "and another one"), (50, 688, "goes on"), (300, 688, "so too")],
         ["one column of text and another one\ngoes on so too"]),
    ],
)  # fmt: skip
def test_pdf_tables_without_heads_and_columns_that_are_none(words, lines):
    assert texts(read("b.pdf", pdf_of_streams(placed(*words)))) == lines


def _packed(content: bytes, layers: int = 1) -> bytes:
    """A PDF with a stream that nothing refers to, packed so many times over."""
    for _ in range(layers):
        content = zlib.compress(content, 9)
    filters = "/FlateDecode " * layers
    stream = f"99 0 obj\n<< /Length {len(content)} /Filter [{filters}] >>\nstream\n".encode() + content
    return pdf("text").replace(b"xref\n", stream + b"\nendstream\nendobj\nxref\n", 1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (_packed(bytes(30_000_000)), ArchiveBomb),
        (_packed(bytes(300_000_000), 2), ArchiveBomb),
        (_packed(b"x", 4), ArchiveBomb),
        (_packed(bytes(3_000_000)) * 8, ArchiveBomb),
        (_packed(bytes(220_000_000)) + random.Random(1).randbytes(3_000_000), TooLarge),
    ],
)
def test_pdf_streams_are_counted_together(data, error):
    with pytest.raises(error):
        read("b.pdf", data)


def test_pdf_with_streams_of_no_weight_is_read():
    assert read("b.pdf", _packed(bytes(3_000_000))).text == "text"


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


@pytest.mark.shared
def test_encrypted_pdf():
    path = SHARED / "ingest_pypdf/files/libreoffice-writer-password.pdf"
    found = list((SHARED / "ingest_pypdf").rglob(path.name))
    if not found:
        pytest.skip("no evaluation data ingest_pypdf beside the checkout")
    with pytest.raises(Encrypted):
        read(path.name, found[0].read_bytes())
