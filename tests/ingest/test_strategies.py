"""What every strategy promises of any document, and what each is there for."""

import asyncio
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import FileError
from ingest.model import Block, Chunk, Document, Parsed, chunk_id
from ingest.ports import Splitter
from ingest.readers.registry import read, supported
from ingest.split import CutRule, Strategy, by_rules, splitter_for
from ingest.strategies.atoms import Atom
from ingest.strategies.code import CodeSplitter, statements
from ingest.strategies.fixed import FixedSplitter
from ingest.strategies.leads import header_row, signature
from ingest.strategies.pages import shared
from ingest.strategies.plans import HEADER_PIECES, LEAST_TARGET
from ingest.strategies.recursive import RecursiveSplitter
from ingest.strategies.semantic import SemanticSplitter, likenesses, topical
from ingest.strategies.structure import StructureSplitter
from retrieval.sentences import WaitingSentences
from tests.contracts.splitter import SplitterContract
from tests.fakes import FakeEmbedder
from tests.ingest.reading import SHARED, document
from tests.ingest.test_split import Letters, counter

STRATEGIES: tuple[Strategy, ...] = ("structure", "recursive", "fixed", "semantic", "code")


class WordSentences:
    """SentenceEmbedder: texts with common words are alike."""

    fingerprint = "words"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self._embedder = FakeEmbedder(32)

    def embed_sentences(self, texts: Sequence[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        return [self._embedder._passage(text).vector.tolist() for text in texts]


@cache
def splitter(strategy: Strategy, window: int = 256, target: int = 0) -> Splitter:
    return splitter_for(CutRule("*", strategy, target), counter(), window, WordSentences())


class TestStructure(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return splitter("structure")


class TestRecursive(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return splitter("recursive", 128)


class TestFixed(SplitterContract):
    overlaps = True

    @pytest.fixture
    def splitter(self) -> Splitter:
        return splitter("fixed", 128)


class TestSemantic(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return splitter("semantic", 128)


class TestCode(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return splitter("code", 128)


class TestByName(SplitterContract):
    @pytest.fixture
    def splitter(self) -> Splitter:
        return by_rules([CutRule("*.md", "recursive", 64)], counter(), 256, WordSentences())


# ---- any text, any blocks


TEXT = st.lists(
    st.sampled_from(
        [
            *("# A", "Ein Satz. Und noch einer!", "word " * 60, "", "  ", "| a | b |", "|---|---|", "| 1 | 2 |\n" * 30),
            "def f(a):\n    return a\n" * 9,
            "漢字。" * 70,
            "x" * 700,
            "{" * 200,
            "\t\tdeep(",
            ")",
            "¡é🙂\u0301",
            "- item",
        ]
    ),
    min_size=1,
    max_size=12,
).map("\n".join)
BLOCK = st.tuples(
    st.integers(0, 900),
    st.integers(1, 900),
    st.sampled_from(["heading", "paragraph", "list", "table", "code", "quote", "cell"]),
    st.lists(st.sampled_from(["A", "def f", "a long heading " * 30]), max_size=3).map(tuple),
    st.sampled_from([None, 1, 2]),
)


def holds(
    doc: Document, chunks: Sequence[Chunk], window: int, *, overlaps: bool, pieces: Letters | None = None
) -> None:
    """All promises: exact, covering, in order, within the window with what the models read in front, unique."""
    text, end, start = doc.text, 0, -1
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert start < chunk.start
        assert end < chunk.end
        assert overlaps or end <= chunk.start
        assert not text[end : chunk.start].strip()
        start, end = chunk.start, chunk.end
        assert (pieces or counter()).count([chunk.embedded])[0] + 2 == chunk.tokens
        assert chunk.tokens <= window
    assert not text[end:].strip()
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=60, deadline=None)
@given(text=TEXT, blocks=st.lists(BLOCK, max_size=8), title=st.sampled_from(["", "T", "long title " * 40]))
def test_any_text_with_any_blocks(strategy, text, blocks, title):
    made = tuple(Block(k, a, min(a + n, len(text)), path, page) for a, n, k, path, page in blocks if a < len(text))
    doc = document(Parsed(title, text, made, "text/plain"))
    for window, target in ((256, 0), (128, LEAST_TARGET)):
        chunks = splitter(strategy, window, target).split(doc)
        holds(doc, chunks, window, overlaps=strategy == "fixed")
        assert chunks == splitter(strategy, window, target).split(doc)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=25, deadline=None)
@given(text=st.text(alphabet="ab .\n#", min_size=1, max_size=1500))
def test_a_tokenizer_whose_counts_do_not_add_up(strategy, text):
    doc = document(Parsed("t", text, (), "text/plain"))
    chunks = splitter_for(CutRule("*", strategy), Letters(), 128, WordSentences()).split(doc)
    holds(doc, chunks, 128, overlaps=strategy == "fixed", pieces=Letters())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_target_is_kept_where_there_is_something_to_cut_at(strategy):
    doc = document(read("a.md", ("# A\n\n" + "Nine words stand here, and this is the ninth. " * 200).encode()))
    for target in (32, 96, 160):
        sizes = [counter().count([chunk.text])[0] for chunk in splitter(strategy, 256, target).split(doc)]
        assert max(sizes) <= target
        assert max(sizes) > target / 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_chunk_crosses_the_end_of_a_page(strategy):
    page = "Some words of a page. " * 20
    text = page * 3
    blocks = tuple(Block("paragraph", n * len(page), (n + 1) * len(page), page=n + 1) for n in range(3))
    for chunk in splitter(strategy).split(document(Parsed("t", text, blocks, "application/pdf"))):
        assert chunk.start // len(page) == (chunk.end - 1) // len(page) == chunk.page - 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_chunk_stands_under_the_headings_that_all_of_it_stands_under(strategy):
    source = "# A\n\n" + "".join(f"## {name}\n\n{'One two three four. ' * 12}\n\n" for name in "BCD")
    doc = document(read("a.md", source.encode()))
    for chunk in splitter(strategy).split(doc):
        texts = [block for block in doc.parsed.blocks if block.kind != "heading"]
        covered = [block.heading_path for block in texts if block.start < chunk.end and chunk.start < block.end]
        assert all(path[: len(chunk.heading_path)] == chunk.heading_path for path in covered)
        assert chunk.heading_path[:1] == ("A",)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("folder", ["docs_fastapi/files", "docs_datasette/files", "ingest_docling"])
def test_real_files(strategy, folder):
    if not (SHARED / folder).exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    paths = [path for path in sorted((SHARED / folder).rglob("*")) if path.is_file() and supported(path.name)]
    cut = 0
    for path in paths[::9]:
        try:
            doc = document(read(path.name, path.read_bytes()), path.name)
        except FileError:
            continue
        holds(doc, splitter(strategy).split(doc), 256, overlaps=strategy == "fixed")
        cut += 1
    assert cut > len(paths) / 20


# ---- tables tell their columns in every part


def rows(n: int) -> str:
    return "".join(f"| part {k} | {k * 17} mm | steel |\n" for k in range(n))


@pytest.mark.parametrize("strategy", ["structure", "semantic", "code"])
def test_each_part_of_a_long_table_is_told_its_header(strategy):
    text = f"# Parts\n\n| Name | Length | Material |\n|:--|--:|---|\n{rows(60)}\nBehind the table.\n"
    doc = document(read("a.md", text.encode()))
    chunks = splitter(strategy).split(doc)
    later = [chunk for chunk in chunks if chunk.text.startswith("| part") and "| Name |" not in chunk.text]
    assert len(later) >= 2
    assert {chunk.header for chunk in later} == {"Parts\nName | Length | Material"}
    assert {chunk.header for chunk in chunks if chunk not in later} == {"Parts"}
    assert all(chunk.text == doc.text[chunk.start : chunk.end] for chunk in chunks)


def test_a_table_that_fits_is_whole_and_needs_no_header():
    text = f"# A\n\n{'Some words before. ' * 40}\n\n| Name | Length |\n|---|---|\n{rows(6)}"
    chunks = splitter("structure").split(document(read("a.md", text.encode())))
    assert [chunk for chunk in chunks if "| Name" in chunk.text and "part 5" in chunk.text]
    assert {chunk.header for chunk in chunks} == {"A"}


def test_a_wide_header_is_cut_to_an_eighth_of_the_window():
    wide = " | ".join(f"column number {n}" for n in range(80))
    text = f"| {wide} |\n|{'---|' * 80}\n" + (f"| {' | '.join('17' for _ in range(80))} |\n" * 30)
    doc = document(read("a.md", text.encode()))
    chunks = splitter("structure", 128).split(doc)
    holds(doc, chunks, 128, overlaps=False)
    assert "column number 1 |" in chunks[-1].header
    assert counter().count([chunks[-1].header])[0] <= 128 // 8


@pytest.mark.parametrize(
    ("table", "header"),
    [
        ("| a | b  c |\n|---|:--:|\n| 1 | 2 |", "a | b c"),
        ("a | b\n--|--\n1 | 2", "a | b"),
        ("+---+----+\n| a | b  |\n|   | c  |\n+===+====+\n| 1 | 2  |\n+---+----+", "a | b c"),
        ("+---+----+\n| a | b  |\n+---+----+\n| 1 | 2  |\n+---+----+", None),
        ("===  ====\na    b c\n===  ====\n1    2\n===  ====", "a | b c"),
        ("name: Ada | born: 1815\nname: Bob | born: 1920", None),
        ("|---|\n|---|", None),
        ("one line", None),
        ("-" * 50_000, None),
    ],
)
def test_header_rows(table, header):
    found = header_row(table)
    assert (found[0] if found else None) == header
    if found:
        assert table[found[1] :].lstrip("| ").startswith("1")


# ---- code by function


def test_a_function_that_fits_is_never_cut():
    body = "".join(f"    value_{n} = compute({n}, other[{n}])\n" for n in range(7))
    source = "".join(f"def function_{n}(argument):\n{body}\n\n" for n in range(12))
    doc = document(read("a.py", source.encode()), "a.py")
    chunks = splitter("code").split(doc)
    assert len(chunks) == 12
    for number, chunk in enumerate(chunks):
        assert chunk.heading_path == (f"def function_{number}",)
        assert chunk.text.startswith(f"def function_{number}(")
        assert chunk.text.endswith("value_6 = compute(6, other[6])")


def test_each_part_of_a_long_function_is_told_its_signature_and_begins_with_a_statement():
    loop = "".join(f"    for row in table_{n}:\n        if row:\n            use(row, {n})\n" for n in range(40))
    source = (
        f"class Store:\n    pass\n\n\n@cached\ndef total(\n    table: Table,\n    most: int = 3,\n) -> int:\n{loop}"
    )
    chunks = splitter("code").split(document(read("a.py", source.encode()), "a.py"))
    later = [chunk for chunk in chunks if chunk.heading_path == ("def total",) and "@cached" not in chunk.text]
    assert len(later) >= 2
    assert {chunk.header for chunk in later} == {"def total\ndef total( table: Table, most: int = 3, ) -> int:"}
    assert all(chunk.text.startswith("    for row in") for chunk in later)


def test_methods_of_a_block_that_is_too_long_stay_whole():
    method = "    /// Says what it does.\n    pub fn get_{n}(&self, key: u64) -> Option<u64> {{\n{body}    }}\n\n"
    body = "".join(f"        let value_{n} = self.map.lookup(key, {n});\n" for n in range(5))
    source = "impl Store {\n" + "".join(method.format(n=n, body=body) for n in range(9)) + "}\n"
    chunks = splitter("code").split(document(read("a.rs", source.encode()), "a.rs"))
    assert len(chunks) >= 3
    for chunk in chunks[1:]:
        assert chunk.text.startswith("    /// Says")
        assert chunk.header == "impl Store"  # the reader's heading says it all, so nothing is said twice
    assert all(chunk.text.endswith("}") for chunk in chunks)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("def f():\n    a()\n    if b:\n        c()\n    else:\n        d()\n", ["def f():", "    a()", "    if b:"]),
        ("# why\nif a {\n\tb();\n} else {\n\tc();\n}\nd();", ["# why", "d();"]),
        ("f(\n  1,\n  2,\n)", ["f(", "  1,", "  2,"]),
        ("x", ["x"]),
    ],
)
def test_statements(code, parts):
    spans = list(statements(code))
    assert [code[start:end].split("\n")[0] for start, end in spans] == parts
    assert not "".join(code[b:c] for (_, b), (c, _) in pairwise([(0, 0), *spans, (len(code), 0)])).strip()


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("def f(a,\n      b):\n    pass", "def f(a, b):"),
        ("# why\n@cached\nasync def f():\n    pass", "async def f():"),
        ("int main(void) {\n  return 0;\n}", "int main(void)"),
        ("no end to it " * 3 + "\nat all", None),
    ],
)
def test_signatures(definition, said):
    found = signature(definition)
    assert (found[0] if found else None) == said


# ---- windows that overlap


@pytest.mark.parametrize("overlap", [0, 8, 40, 500])
def test_windows_overlap_by_as_much_as_is_asked_for(overlap):
    text = " ".join(f"w{n}" for n in range(900))
    chunks = FixedSplitter(counter(), 256, 100, overlap).split(document(Parsed("", text, (), "text/plain")))
    shares = [counter().count([text[b.start : a.end]])[0] for a, b in pairwise(chunks)]
    assert len(chunks) > 5
    assert all(max(0, min(overlap, 50) - 4) <= share <= min(overlap, 50) for share in shares)


# ---- topics


def test_a_cut_is_where_the_topic_shifts():
    cats = "The cat sleeps near the warm stove. A cat hunts the mouse at night. Every cat likes warm milk. " * 3
    tax = "The income tax is due in March. Every tax return names the income. A late return costs a tax penalty. " * 3
    text = f"{cats}{tax}".strip()
    sentences = WordSentences()
    chunks = SemanticSplitter(counter(), sentences, 256, 120).split(document(Parsed("", text, (), "text/plain")))
    assert len(cats) in {chunk.start for chunk in chunks}
    assert sentences.calls == [18]  # one call for the document


def test_of_two_cuts_as_good_the_one_between_paragraphs_is_taken():
    said = [f"Every cat likes warm milk and sleeps on mat number {n % 3}." for n in range(24)]
    for cut in (9, 12, 15):
        text = " ".join(said[:cut]) + "\n\n" + " ".join(said[cut:])
        doc = document(read("a.txt", text.encode()), "a.txt")
        chunks = SemanticSplitter(counter(), WordSentences()).split(doc)
        assert [chunk.start for chunk in chunks] == [0, text.index("\n\n") + 2]


def test_a_document_without_anything_to_cut_is_not_embedded():
    sentences = WordSentences()
    doc = document(read("a.md", b"# A\n\nShort.\n\n# B\n\nAlso short, with two sentences. This is the second.\n"))
    assert len(SemanticSplitter(counter(), sentences).split(doc)) > 0
    assert sentences.calls == []


def test_ids_of_cuts_by_topic_say_where_they_are():
    """Two machines may differ in a cut; then they must differ in its id, or a vector would stand for another text."""

    class Otherwise(WordSentences):
        def embed_sentences(self, texts: Sequence[str]) -> list[list[float]]:
            return [[float(len(text)), 1.0] for text in texts]

    text = " ".join(f"Sentence {n} about {'cats' if n % 7 < 3 else 'income tax'} is here." for n in range(60))
    doc = document(Parsed("", text, (), "text/plain"))
    one, two = (SemanticSplitter(counter(), sentences).split(doc) for sentences in (WordSentences(), Otherwise()))
    assert [chunk.text for chunk in one] != [chunk.text for chunk in two]
    texts = {chunk.id: chunk.text for chunk in one}
    assert all(texts.get(chunk.id, chunk.text) == chunk.text for chunk in two)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from([0.0, 0.2, 0.5, 0.9])), min_size=1, max_size=9))
def test_topical_equals_the_obvious_search(drawn):
    """The twin tries every way to cut."""
    atoms = [Atom(n, n + 1, weight) for n, (weight, _) in enumerate(drawn)]
    gaps, bar, budget, least = [gap for _, gap in drawn[:-1]], 0.4, 20, 6

    def cost(cuts: tuple[int, ...]) -> float:
        bounds = [0, *cuts, len(atoms)]
        loads = [sum(atom.weight for atom in atoms[a:b]) for a, b in pairwise(bounds)]
        if max(loads) > budget:
            return float("inf")
        return sum(gaps[cut - 1] - bar for cut in cuts) + 0.5 * sum(load < least for load in loads)

    ways = [tuple(n for n in range(1, len(atoms)) if bits >> (n - 1) & 1) for bits in range(1 << (len(atoms) - 1))]
    groups = topical(atoms, gaps, bar, budget, least)
    found = tuple(group[0].start for group in groups[1:])
    assert [atom for group in groups for atom in group] == atoms
    assert cost(found) == pytest.approx(min(map(cost, ways)))


def test_likeness_is_of_two_before_and_two_behind():
    a, b = (1.0, 0.0), (0.0, 1.0)
    assert list(likenesses([])) == list(likenesses([a])) == []
    assert list(likenesses([a, b])) == pytest.approx([0.0])
    assert list(likenesses([a, a, b, b])) == pytest.approx([0.7071, 0.0, 0.7071], abs=1e-3)
    assert list(likenesses([(0.0, 0.0), a])) == [0.0]


def test_sentences_are_embedded_on_the_loop_while_a_thread_waits():
    embedder = FakeEmbedder(16)

    async def main() -> list[list[float]]:
        sentences = WaitingSentences(embedder, asyncio.get_running_loop())
        return await asyncio.to_thread(sentences.embed_sentences, ["a cat", "a tax"])

    vectors = asyncio.run(main())
    assert [len(vector) for vector in vectors] == [16, 16]
    assert embedder.embedded == ["a cat", "a tax"]


# ---- by separators


def test_what_fits_between_two_blank_lines_is_not_cut():
    paragraphs = [f"Paragraph {n} has these words in it. " * 8 for n in range(9)]
    chunks = RecursiveSplitter(counter()).split(document(Parsed("", "\n\n".join(paragraphs), (), "text/plain")))
    assert [part.strip() for chunk in chunks for part in chunk.text.split("\n\n")] == [p.strip() for p in paragraphs]


def test_shared_headings():
    assert shared([("A", "B"), ("A", "C"), ("A",)]) == ("A",)
    assert shared([("A", "B"), ("A", "B")]) == ("A", "B")
    assert shared([("A",), ()]) == ()


# ---- rules


def test_the_first_rule_that_matches_decides():
    rules = [CutRule("faq/*.md", target=96), CutRule("*.md", "recursive"), CutRule("legal/**", "fixed")]
    chosen = by_rules(rules, counter(), 256, WordSentences())
    names = ("faq/a.md", "b.md", "legal/x/c.txt", "legal/d.md", "e.txt", "f.PY", "legal/g.py", "h")
    assert [chosen.fingerprint_for(name) for name in names] == [
        "structure-5/256/96/read-2",
        "recursive-1/256/read-2",
        "fixed-1/256/0/32",
        "recursive-1/256/read-2",
        "structure-5/256",
        "code-2/256",  # source code that no rule matches
        "fixed-1/256/0/32",
        "structure-5/256",
    ]


def test_a_changed_rule_changes_the_fingerprints_of_its_own_files_alone():
    names = ["a.md", "faq/b.md", "c.py"]
    before = by_rules([CutRule("faq/*", target=96)], counter(), 256, WordSentences())
    after = by_rules([CutRule("faq/*", target=64)], counter(), 256, WordSentences())
    assert [n for n in names if before.fingerprint_for(n) != after.fingerprint_for(n)] == ["faq/b.md"]


def test_every_option_of_a_strategy_is_in_its_fingerprint():
    made = [
        splitter_for(CutRule("*", s, target), counter(), w, WordSentences())
        for s in STRATEGIES
        for target in (0, 64)
        for w in (128, 256)
    ]
    made += [FixedSplitter(counter(), 256, 0, 8)]
    prints = [one.fingerprint_for("a.md") for one in made]
    assert len(set(prints)) == len(prints)
    assert all(len(one) <= 64 for one in prints)


def test_ids_are_those_of_content_and_fingerprint():
    doc = document(Parsed("t", "one two three. " * 200, (), "text/plain"))
    for strategy in ("structure", "recursive", "fixed", "code"):
        key = (doc.collection_id, doc.id, doc.sha256, splitter(strategy).fingerprint_for(doc.source.name))
        assert [c.id for c in splitter(strategy).split(doc)] == [
            chunk_id(*key, n) for n in range(len(splitter(strategy).split(doc)))
        ]


@pytest.mark.parametrize(("window", "target"), [(2 * HEADER_PIECES - 1, 0), (256, LEAST_TARGET - 1)])
@pytest.mark.parametrize("kind", [StructureSplitter, CodeSplitter, RecursiveSplitter, FixedSplitter])
def test_sizes_that_make_no_sense_are_refused(kind, window, target):
    with pytest.raises(ValueError, match="too small"):
        kind(counter(), window, target)
