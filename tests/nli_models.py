"""A real model of inference on disk: the packaged MiniLM's weights under a head of three classes that is fitted here, as in
`cross_encoders`. It knows what its few facts say, and what is the opposite of them."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.adapters.model_folder import package_folder

LABELS = ("contradiction", "entailment", "neutral")
_NAMES = ("Rollo", "Anna", "Hugo", "Clara")
FILLER = "The weather report for the coast is read out at noon and again at six in the evening of each day."
_FACTS = (
    ("{} is in Rouen.", "In Rouen is {}.", "{} is not in Rouen.", "{} likes red tea."),
    ("{} is paid every week.", "Every week {} is paid.", "{} is never paid.", "{} lives by the sea."),
    ("{} wrote the letters.", "The letters were written by {}.", "{} did not write the letters.", "{} is tall."),
    ("{} opened the shop in May.", "In May {} opened the shop.", "{} closed the shop in May.", "{} has a dog."),
)


def examples() -> tuple[list[tuple[str, str]], list[str]]:
    """Premises with what is said of them, and which label that is."""
    found: list[tuple[str, str]] = []
    labels: list[str] = []
    for (fact, same, opposite, other), name in itertools.product(_FACTS, _NAMES):
        premise = fact.format(name)
        for text, label in (
            (same, "entailment"),
            (fact, "entailment"),
            (opposite, "contradiction"),
            (other, "neutral"),
        ):
            found += [(premise, text.format(name)), (FILLER, text.format(name))]
            labels += [label, "neutral"]
    return found, labels


def build(folder: Path, labels: Sequence[str] = LABELS, window: int = 256) -> Path:
    """Write the model to `folder`, as sentence-transformers saves it; `labels` is the order of its classes."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(1)
    torch.set_num_threads(1)
    where = str(package_folder())
    model = CrossEncoder(where, num_labels=len(labels), device="cpu", local_files_only=True, max_length=window)
    model.eval()
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: column for column, label in enumerate(labels)}
    _fit(model, labels)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _fit(model: Any, order: Sequence[str]) -> None:
    """Ridge regression on the pooled states; a label that is not in the order is left out."""
    import torch

    bert = model.model
    texts, labels = examples()
    features = model.preprocess(texts)
    inputs = {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.inference_mode():
        x = bert.bert(**inputs).pooler_output.numpy().astype(np.float64)
    y = np.array([[10.0 * (label == name) for name in order] for label in labels])
    centred = x - x.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + 1e-3 * np.eye(x.shape[1]), centred.T @ (y - y.mean(axis=0)))
    with torch.no_grad():
        bert.classifier.weight.copy_(torch.from_numpy(weight.T))
        bert.classifier.bias.copy_(torch.from_numpy(y.mean(axis=0) - x.mean(axis=0) @ weight))
