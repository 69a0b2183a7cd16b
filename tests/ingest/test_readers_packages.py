"""PPTX, OpenDocument and EPUB: packages of XML, made by hand here so that each test says what is in them."""

import io
import zipfile

import pytest

from ingest.errors import Broken, EmptyText, Encrypted, FileError, XmlEntities
from ingest.readers.registry import read, supported
from tests.ingest.reading import SHARED, keeps_its_promises, outline, texts

A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
C = "http://schemas.openxmlformats.org/drawingml/2006/chart"
ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


def _zip(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in members.items():
            package.writestr(name, data)
    return buffer.getvalue()


def _links(**links: str) -> str:
    inner = "".join(
        f'<Relationship Id="{name}" Type="x/{target.split("|")[0]}" Target="{target.split("|")[1]}"/>'
        for name, target in links.items()
    )
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{inner}</Relationships>'
    )


def _runs(text: str, properties: str = "") -> str:
    return "".join(f"<a:p>{properties}<a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))


def _shape(text: str, role: str = "", properties: str = "") -> str:
    place = f'<p:nvSpPr><p:nvPr><p:ph type="{role}"/></p:nvPr></p:nvSpPr>' if role else ""
    return f"<p:sp>{place}<p:txBody>{_runs(text, properties)}</p:txBody></p:sp>"


def _table(*rows: str, head: str = "1") -> str:
    body = "".join(
        f"<a:tr>{''.join(f'<a:tc><a:txBody>{_runs(cell)}</a:txBody></a:tc>' for cell in row.split(','))}</a:tr>"
        for row in rows
    )
    return f'<p:graphicFrame><a:tbl><a:tblPr firstRow="{head}"/>{body}</a:tbl></p:graphicFrame>'


def _pptx(*slides: str, **more: str) -> bytes:
    names = [f"s{number}" for number in range(1, len(slides) + 1)]
    ids = "".join(f'<p:sldId id="256" r:id="{name}"/>' for name in reversed(names))  # shown in reverse
    space = f'xmlns:p="{P}" xmlns:r="{R}" xmlns:a="{A}" xmlns:c="{C}"'
    members = {
        "_rels/.rels": _links(m="officeDocument|ppt/main.xml", c="core-properties|core.xml"),
        "core.xml": "<core><title>PowerPoint Presentation</title></core>",
        "ppt/main.xml": f"<p:presentation {space}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/main.xml.rels": _links(**{name: f"slide|slides/{name}.xml" for name in names}),
    }
    for name, slide in zip(names, slides, strict=True):
        attributes, _, shapes = slide.rpartition("@")
        members[f"ppt/slides/{name}.xml"] = f"<p:sld {space} {attributes}><p:spTree>{shapes}</p:spTree></p:sld>"
        members[f"ppt/slides/_rels/{name}.xml.rels"] = _links(
            n=f"notesSlide|../{name}notes.xml", g="chart|/ppt/chart.xml"
        )
    notes = _shape("Say hello", "body") + _shape("7", "sldNum")
    members["ppt/s1notes.xml"] = f"<p:notes {space}><p:spTree>{notes}</p:spTree></p:notes>"
    return _zip(members | more)


FIRST = _shape("Body one\nBody two", "body") + _shape("The  title", "title") + _shape("Page 3", "ftr")
SECOND = _shape("Alone") + _table("City,People", "Rome,3") + f"<p:grpSp>{_shape('Grouped')}</p:grpSp>"


def test_pptx_slides_in_their_order():
    parsed = read("a.pptx", _pptx(FIRST, SECOND))
    keeps_its_promises(parsed)
    assert texts(parsed) == [
        *("Alone", "City | People", "City: Rome | People: 3", "Grouped"),
        *("The title", "- Body one\n- Body two", "Notes: Say hello"),
    ]
    assert [block.page for block in parsed.blocks] == [1, 1, 1, 1, 2, 2, 2]
    assert outline(parsed) == [(), ("The title",)]
    assert (parsed.title, parsed.pages) == ("The title", 2)


def test_pptx_hidden_slides_are_counted_and_left_out():
    parsed = read("a.pptx", _pptx(FIRST, 'show="0"@' + SECOND))
    assert "Alone" not in parsed.text
    assert parsed.blocks[0].page == 2


def test_pptx_bullets_are_what_the_file_says():
    shape = _shape("x\ny", "body", "<a:pPr><a:buNone/></a:pPr>") + _shape("z", "", '<a:pPr lvl="1"><a:buChar/></a:pPr>')
    assert texts(read("a.pptx", _pptx(shape))) == ["x", "y", "- z", "Notes: Say hello"]


def test_pptx_table_without_a_header_is_one_block():
    assert "1 | 2\n3 | 4" in texts(read("a.pptx", _pptx(_table("1,2", "3,4", head="0"))))


def test_pptx_chart():
    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{place}"><c:v>{value}</c:v></c:pt>' for place, value in enumerate(values))

    years, counts = points("2023", "2024"), points("5", "7")
    series = f"<c:ser><c:tx>{points('Ducks')}</c:tx><c:cat>{years}</c:cat><c:val>{counts}</c:val></c:ser>"
    title = f"<c:title>{_runs('Seen')}</c:title>"
    chart = f'<c:chartSpace xmlns:c="{C}" xmlns:a="{A}">{title}{series}</c:chartSpace>'
    parsed = read("a.pptx", _pptx('<p:graphicFrame><c:chart r:id="g"/></p:graphicFrame>', **{"ppt/chart.xml": chart}))
    assert texts(parsed)[:3] == ["Seen", "2023 | Ducks: 5", "2024 | Ducks: 7"]


ODF = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
    "presentation": "urn:oasis:names:tc:opendocument:xmlns:presentation:1.0",
}


def _odf(body: str, **more: str) -> bytes:
    spaces = " ".join(f'xmlns:{name}="{space}"' for name, space in ODF.items())
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    return _zip({"content.xml": content, "meta.xml": "<meta><title>Titled</title></meta>"} | more)


def _cells(*cells: str) -> str:
    inner = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
    return f"<table:table-row>{inner}</table:table-row>"


def test_odt_in_document_order():
    body = (
        '<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:h text:outline-level="1">Top</text:h>'
        "<text:p>Some <text:span>bold</text:span><text:s text:c='2'/>text<text:line-break/>here.</text:p>"
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>deep</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        f"<table:table>{_cells('a', 'b')}{_cells('1', '2')}</table:table><text:p>End</text:p>"
    )
    parsed = read("a.odt", _odf(body))
    keeps_its_promises(parsed)
    assert texts(parsed) == ["Top", "Some bold  text\nhere.", "- one\n  - deep", "a | b", "a: 1 | b: 2", "End"]
    assert (parsed.title, outline(parsed)) == ("Titled", [("Top",)])


def test_ods_sheets_and_repetition():
    rows = _cells("n", "v") + '<table:table-row table:number-rows-repeated="9"/>' + _cells("x", "1")
    wide = '<table:table-cell table:number-columns-repeated="999999999"><text:p>w</text:p></table:table-cell>'
    sheets = {"S": rows, "W": f"<table:table-row>{wide}</table:table-row>"}
    body = "".join(f'<table:table table:name="{name}">{inner}</table:table>' for name, inner in sheets.items())
    body = f"<office:spreadsheet>{body}</office:spreadsheet>"
    parsed = read("a.ods", _odf(body))
    keeps_its_promises(parsed)
    assert texts(parsed)[:3] == ["S", "n | v", "n: x | v: 1"]
    assert [block.cell for block in parsed.blocks][:3] == [None, "1", "11"]
    assert len(parsed.text) < 10_000


def test_odp_slides():
    title = '<draw:frame presentation:class="title"><draw:text-box><text:p>Hello</text:p></draw:text-box></draw:frame>'
    page = f"<draw:page>{title}<draw:frame><text:p>there</text:p></draw:frame></draw:page>"
    parsed = read("a.odp", _odf(page * 2))
    assert [(block.page, block.kind) for block in parsed.blocks] == [
        *((1, "heading"), (1, "paragraph"), (2, "heading"), (2, "paragraph")),
    ]


CONTAINER = '<container><rootfiles><rootfile full-path="b/main.opf"/></rootfiles></container>'


def _epub(**more: str) -> bytes:
    book = (
        '<package><metadata><title>The Book</title></metadata><manifest><item id="n" href="nav.xhtml" properties="nav"/>'
        '<item id="1" href="one.xhtml"/><item id="2" href="two%20b.xhtml"/><item id="3" href="gone.xhtml"/></manifest>'
        '<spine><itemref idref="n"/><itemref idref="2"/><itemref idref="1"/><itemref idref="3"/></spine></package>'
    )
    nav = '<html><nav><a href="one.xhtml#x">Chapter One</a><a href="two%20b.xhtml">Preface</a></nav></html>'
    one = "<?xml version='1.0'?><html><head><title/></head><body><h2>Chapter one</h2><p>It began.</p></body></html>"
    two = "<html><head><title/></head><body><p>Before it all.</p><h1>Thanks</h1><p>To you.</p></body></html>"
    members = {"META-INF/container.xml": CONTAINER, "b/main.opf": book, "b/nav.xhtml": nav}
    return _zip(members | {"b/one.xhtml": one, "b/two b.xhtml": two} | more)


def test_epub_in_reading_order():
    parsed = read("a.epub", _epub())
    keeps_its_promises(parsed)
    assert texts(parsed) == ["Preface", "Before it all.", "Thanks", "To you.", "Chapter one", "It began."]
    assert outline(parsed) == [("Preface",), ("Preface", "Thanks"), ("Chapter one",)]
    assert parsed.title == "The Book"


def test_epub_with_an_empty_chapter():
    assert "It began." in read("a.epub", _epub(**{"b/two b.xhtml": "\ufeff "})).text


LOCK = '<encryption><EncryptionMethod Algorithm="{}"/></encryption>'
FONTS = "http://www.idpf.org/2008/embedding"


def test_epub_with_scrambled_fonts_is_read():
    assert read("a.epub", _epub(**{"META-INF/encryption.xml": LOCK.format(FONTS)})).title == "The Book"


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.pptx", _zip({"a": "x"}), Broken),
        ("a.pptx", _pptx(), EmptyText),
        ("a.pptx", _pptx("<p:sp>"), Broken),
        ("a.pptx", b"PK\x03\x04", Broken),
        ("a.odt", _zip({"a": "x"}), Broken),
        ("a.odt", _zip({"content.xml": f"{ENTITY}<p>&x;</p>"}), XmlEntities),
        ("a.odt", _zip({"content.xml": "<p>"}), Broken),
        ("a.odt", _odf("x", **{"META-INF/manifest.xml": "<encryption-data/>"}), Encrypted),
        ("a.odt", _zip({"content.xml": "<a>" * 300 + "</a>" * 300}), Broken),
        ("a.epub", _zip({"a": "x"}), Broken),
        ("a.epub", _zip({"META-INF/container.xml": CONTAINER}), Broken),
        ("a.epub", _epub(**{"META-INF/encryption.xml": LOCK.format("aes")}), Encrypted),
        ("a.epub", _epub(**{"b/main.opf": f"{ENTITY}<package>&x;</package>"}), XmlEntities),
    ],
)
def test_package_refused(name, data, error):
    with pytest.raises(error):
        read(name, data)


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["pptx", "xlsx", "odf", "epub", "csv", "email"])
def test_awkward_real_packages(kind):
    """Each reads and keeps its promises, or says with an error of ours why not."""
    folder = SHARED / "ingest_docling" / kind / "sources"
    if not folder.exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    read_well = 0
    for path in folder.iterdir():
        if supported(path.name):
            try:
                keeps_its_promises(read(path.name, path.read_bytes()))
                read_well += 1
            except FileError:
                continue
    assert read_well
