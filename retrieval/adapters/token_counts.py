"""How many tokens an endpoint's model reads: by its own tokenizer where its file is at hand, else by an estimate.

Nothing is ever fetched. tiktoken fetches its files where it lacks them, so it is asked for only once they are there.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

Counter = Callable[[Sequence[str]], list[int]]

_LETTERS = 4  # of a word that make a token
_PIECE = re.compile(r"([A-Za-z\u00c0-\u024f]+)|\S|\n")
# Of the models that OpenAI embeds with: the file, named as tiktoken's cache names it, and its hash. tiktoken removes a file
# of another hash and fetches it anew.
_ENCODING = "cl100k_base"
_URL = f"https://openaipublic.blob.core.windows.net/encodings/{_ENCODING}.tiktoken"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_OPENAI = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


def counter_for(model: str, tokenizer: Path | None) -> Counter:
    """The tokenizer's own count where one is named; tiktoken's for OpenAI's models; else the estimate.

    Raises ValueError for a file that cannot be read.
    """
    if tokenizer is not None:
        return by_file(tokenizer)
    if model in _OPENAI and (counter := _by_tiktoken()) is not None:
        return counter
    return estimated


def estimated(texts: Sequence[str]) -> list[int]:
    """One token for every four letters of a Latin word, begun or full, and one for every other character but spaces: on
    English about a third more than there are, so what is cut by it fits. `generation.sizes` estimates alike."""
    return [_estimated(text) for text in texts]


def _estimated(text: str) -> int:
    return sum(-(-len(word) // _LETTERS) if (word := found.group(1)) else 1 for found in _PIECE.finditer(text))


def by_file(path: Path) -> Counter:
    """The count of a `tokenizer.json`, special tokens left out; a folder is one that holds it."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{file.name} is no tokenizer that can be read") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda texts: [len(e.ids) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _by_tiktoken() -> Counter | None:
    """None where the library or its file is not there; where one was fetched before, it is at hand."""
    if not tiktoken_file_is_there():
        return None
    try:
        import tiktoken
    except ImportError:
        return None
    encoding = tiktoken.get_encoding(_ENCODING)
    return lambda texts: [len(ids) for ids in encoding.encode_ordinary_batch(list(texts), num_threads=1)]


def tiktoken_file_is_there() -> bool:
    """Whether tiktoken would take the file from its folder, so that loading it needs no network."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":  # tiktoken's way to say: keep nothing, always fetch
        return False
    place = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    file = place / hashlib.sha1(_URL.encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == _SHA256
    except OSError:
        return False
