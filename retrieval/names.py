"""Which documents a question names: "the latest 10-Q of Apple", "in the deployment guide", "CVE-2024-3094".

The passages of a long document rarely repeat what the document is about, so search alone takes them from any of its
kind: last year's filing, another customer's contract. People name a document by its file name, by its title, or by a
name from its first lines; the rarer a word is among the documents, the more it tells (IDF as in BM25).
"""

import asyncio
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ingest.ports import Lead
from retrieval.errors import SearchTimeout
from retrieval.filters import AllOf, OneOf
from retrieval.model import Query, Scope
from retrieval.ports import Leads

_WORD = re.compile(r"[^\W_]+")
_FIRST = re.compile(r"[\W_]*+([^\W_]++)(?!_)")
_RECENT = re.compile(r"\b(?:latest|newest|most recent(?:ly)?|most current|up[- ]to[- ]date)\b", re.IGNORECASE)
_ENDING = re.compile(r"\.\w{1,5}$")
_LEAD_SHARE = 0.7  # of a word's weight where it stands in the first lines only
_TIED = 0.9  # of the best score: as likely meant as the best
_COVERED = 0.5  # of the weight of the question's names
_FRESH_S = 1.0  # what changed less than this ago may not be known by its name yet
_AT_ONCE = 50  # leads; some milliseconds
_PATIENCE_S = 0.25  # what a question waits for names that are being learnt
_READERS = 32  # sets of groups whose documents are remembered
_TOO_COMMON = 0.5  # a word of more documents than this share names none of them
_STOP = frozenset(
    _WORD.findall(
        "a an and any are as at be been by can did do does for from had has have how i if in into is it its me my not of on "
        "or our s should so t that the their them then there these they this those to us was we were what when where which "
        "who why will with would you your"
    )
)


_Index = defaultdict[str, set[str]]


@dataclass(frozen=True, slots=True)
class _Entry:
    lead: Lead
    words: Mapping[str, float]  # share of a word's weight that this document gets
    called: tuple[frozenset[str], ...]  # its name and its title, where they have several words


@dataclass(slots=True)
class _Shelf:
    """The documents of a collection by the words that introduce them. Made for many: a question costs what the documents
    that it may name cost, not what all do."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    postings: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    headed: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by one word of a whole name
    looked_at: float = -math.inf
    stamp: str | None = None  # None until all documents are known
    _readable: dict[frozenset[str] | None, set[str]] = field(default_factory=dict)

    def put(self, lead: Lead) -> None:
        self.drop(lead.document_id)
        entry = _Entry(lead, introduced(lead), tuple(words for words in called(lead) if len(words) > 1))
        self.entries[lead.document_id] = entry
        for index, word in _places(entry, self.postings, self.headed):
            index[word].add(lead.document_id)
        self._readable.clear()

    def drop(self, document_id: str) -> None:
        entry = self.entries.pop(document_id, None)
        for index, word in _places(entry, self.postings, self.headed) if entry else ():
            index[word].discard(document_id)
            if not index[word]:
                del index[word]
        self._readable.clear()

    def readable(self, scope: Scope) -> set[str]:
        """Those that the asker may read."""
        if (found := self._readable.get(scope.groups)) is None:
            if len(self._readable) >= _READERS:
                self._readable.clear()
            found = {i for i, entry in self.entries.items() if scope.admits(entry.lead.access)}
            self._readable[scope.groups] = found
        return found

    def whole(self, words: Collection[str], readable: Collection[str]) -> dict[str, set[str]]:
        """Documents of a name or title of several words, all of which are asked for ("deploy guide", but not "index"), and
        those words."""
        found: dict[str, set[str]] = {}
        for i in set().union(*(self.headed.get(word, ()) for word in words)):
            named = {word for name in self.entries[i].called if name.issubset(words) for word in name}
            if named and i in readable:
                found[i] = named
        return found


def _places(entry: _Entry, postings: _Index, headed: _Index) -> Iterator[tuple[_Index, str]]:
    """Where a document stands: under each of its words, and under the longest of each whole name."""
    for word in entry.words:
        yield postings, word
    for name in set(entry.called):
        yield headed, max(name, key=lambda word: (len(word), word))


class DocumentNames:
    """Knows the names of long documents, and follows the catalog. Of short ones every passage tells its subject."""

    def __init__(
        self, leads: Leads, clock: Callable[[], float] = time.monotonic, patience_s: float = _PATIENCE_S
    ) -> None:
        """A question waits at most `patience_s` for the catalog to be read."""
        self._leads = leads
        self._clock = clock
        self._patience_s = patience_s
        self._shelves: dict[str, _Shelf] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}

    async def narrowed(self, query: Query) -> Query | None:
        """The same query, confined to the documents that it names; None when it names none, or too many to tell. Raises
        SearchTimeout while the collection's names are being learnt; of changes since then it may not know yet."""
        shelf = await self._shelf(query.scope.collection_id)
        named = named_by(query.text, shelf, query.scope)
        if not named:
            return None
        return replace(query, filters=AllOf((query.filters, OneOf("document_id", tuple(named)))))

    async def learn(self, collections: Iterable[str]) -> None:
        """All names of these collections, one after the other, whatever time it takes. Raises CatalogUnavailable."""
        for collection in collections:
            await asyncio.shield(self._look(collection))

    async def aclose(self) -> None:
        """Break off what is being learnt."""
        for look in self._looks.values():
            look.cancel()
        await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _shelf(self, collection: str) -> _Shelf:
        shelf = self._shelves.setdefault(collection, _Shelf())
        if self._clock() - shelf.looked_at >= _FRESH_S:
            first = collection not in self._looks  # the others go on with what is known, or without names
            done, _ = await asyncio.wait({self._look(collection)}, timeout=self._patience_s if first else 0)
            for each in done:
                each.result()
        if shelf.stamp is None:
            raise SearchTimeout("The names of the documents are still being learnt.")
        return shelf

    def _look(self, collection: str) -> "asyncio.Task[None]":
        """One at a time for each collection; whoever comes meanwhile shares it, and who gives up does not end it."""
        look = self._looks.get(collection)
        if look is None or look.done():
            look = self._looks[collection] = asyncio.create_task(self._looked(collection))
            look.add_done_callback(partial(self._ended, collection))
        return look

    def _ended(self, collection: str, look: "asyncio.Task[None]") -> None:
        if self._looks.get(collection) is look:
            del self._looks[collection]
        if not look.cancelled():
            look.exception()  # seen, also where nobody waits for it any more

    async def _looked(self, collection: str) -> None:
        shelf = self._shelves.setdefault(collection, _Shelf())
        stamp = await self._leads.stamp(collection)
        if stamp != shelf.stamp:
            await self._follow(shelf, collection)
        shelf.stamp, shelf.looked_at = stamp, self._clock()

    async def _follow(self, shelf: _Shelf, collection: str) -> None:
        known = {i: entry.lead.version for i, entry in shelf.entries.items()}
        live, changed = await self._leads.leads(collection, known)
        for gone in shelf.entries.keys() - live:
            shelf.drop(gone)
        for number, lead in enumerate(changed, start=1):
            shelf.put(lead)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # who waits for another answer is not held up by a new shelf


def named_by(question: str, shelf: _Shelf, scope: Scope) -> list[str]:
    """Ids of the documents that the question names, best first. What the asker may not read does not count.

    A name that no document introduces itself by tells of something inside one, wherever that is: the documents found must
    account for half of what the question's names weigh. A number alone names nothing, unless it ends a name.
    """
    readable, words = shelf.readable(scope), words_of(question)
    names, whole = names_in(question, shelf.postings), shelf.whole(words, readable)
    weights, asked = _weights(words, names | set().union(*whole.values()), shelf.postings, readable)
    told = {word for word in weights if word in names}
    spelled = set().union(*(shelf.postings.get(w, set()) & readable for w in told if not w.isdigit()))
    spelled |= {i for i, found in whole.items() if not found.isdisjoint(weights)}
    scores: dict[str, float] = {}
    for i in spelled:
        mine = shelf.entries[i].words
        scores[i] = sum(weights[w] * mine[w] for w in told | (whole.get(i, set()) & weights.keys()) if w in mine)
    best = max(scores.values(), default=0.0)
    if best < _COVERED * asked:
        return []
    tied = sorted((i for i in spelled if scores[i] >= _TIED * best), key=lambda i: (-scores[i], i))
    if _RECENT.search(question):
        newest = max((shelf.entries[i].lead.dated for i in tied), default=None)
        tied = [i for i in tied if shelf.entries[i].lead.dated == newest]
    return tied if len(tied) <= _TOO_COMMON * len(readable) else []


def _weights(
    words: Collection[str], naming: Collection[str], postings: Mapping[str, set[str]], readable: set[str]
) -> tuple[dict[str, float], float]:
    """The weight of each word that may name a document, and of all of them together."""
    weights: dict[str, float] = {}
    for word in words:
        if word not in naming:
            continue
        holders = len(postings.get(word, set()) & readable)
        if holders <= _TOO_COMMON * len(readable):
            weights[word] = math.log(1 + (len(readable) - holders + 0.5) / (holders + 0.5))
    return weights, sum(weights.values())


def names_in(question: str, known: Collection[str]) -> set[str]:
    """Its words that are written as names are, and numbers; the first, which begins with a capital anyway, if it is known and
    no part of an identifier: `index_unavailable` is no document about an index."""
    words = _WORD.findall(question)
    kept = [w for w in words[1:] if w[0].isupper()] + [w for w in words if any(c.isdigit() for c in w)]
    first = _FIRST.match(question)
    return _folded(kept) | _folded([first[1]] if first and first[1].casefold() in known else [])


def introduced(lead: Lead) -> dict[str, float]:
    """The words of a document's name and title, and the names and numbers of its first lines, which weigh less."""
    names = [word for word in _WORD.findall(lead.text) if word[0].isupper() or any(c.isdigit() for c in word)]
    less = dict.fromkeys(_folded(names), _LEAD_SHARE)
    return less | {word: 1.0 for words in called(lead) for word in words}


def called(lead: Lead) -> tuple[frozenset[str], ...]:
    """The words of a document's name and of its title."""
    return frozenset(words_of(_ENDING.sub("", lead.name))), frozenset(words_of(lead.title))


def words_of(text: str) -> set[str]:
    """What tells something, in any case."""
    return _folded(_WORD.findall(text))


def _folded(words: Sequence[str]) -> set[str]:
    return {word.casefold() for word in words} - _STOP
