"""A real text classifier on disk: the packaged MiniLM's weights under a head that is fitted here, as in `cross_encoders`."""

from pathlib import Path
from typing import Any

import numpy as np

from retrieval.adapters.model_folder import package_folder

LABELS = ("other", "insult")
_INSULTS = (
    "You are a stupid idiot.",
    "What a worthless fool you are.",
    "Shut up, you moron.",
    "Only an idiot would ask that.",
    "You disgusting loser, go away.",
    "He is a filthy pig and an imbecile.",
    "These people are dumb scum.",
    "I despise you, you pathetic clown.",
)
_OTHERS = (
    "Refunds are issued within 14 days.",
    "Which port does the database listen on?",
    "The bridge was repaired in 1951.",
    "Parcels are sent by rail and arrive within three days.",
    "Please close the lid and press Start.",
    "The contract ends with the month.",
    "How do I water an olive tree?",
    "The train leaves at noon from platform two.",
)
HELD_OUT_INSULTS = ("You are a worthless moron.", "Shut up, you pathetic idiot.")
HELD_OUT_OTHERS = ("When does the train leave?", "Press Start to close the contract.")


def build(folder: Path) -> Path:
    """Write the model to `folder`, as transformers saves it."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(1)
    torch.set_num_threads(1)
    names: dict[str, Any] = {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {name: n for n, name in enumerate(LABELS)},
    }
    config: Any = BertConfig.from_pretrained(package_folder(), local_files_only=True, num_labels=2, **names)
    model: Any = BertForSequenceClassification.from_pretrained(package_folder(), config=config, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(package_folder(), local_files_only=True)
    tokenizer.model_max_length = 64
    model.eval()
    _fit(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _fit(model: Any, tokenizer: Any) -> None:
    """Ridge regression on the pooled states; half of the difference to each side."""
    import torch

    inputs = tokenizer([*_INSULTS, *_OTHERS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        x = model.bert(**inputs).pooler_output.numpy().astype(np.float64)
    y = np.array([4.0] * len(_INSULTS) + [-4.0] * len(_OTHERS))
    centred = x - x.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + 0.1 * np.eye(x.shape[1]), centred.T @ y) / 2
    rows = torch.from_numpy(np.stack([-weight, weight]))
    with torch.no_grad():
        model.classifier.weight.copy_(rows)
        model.classifier.bias.copy_(-rows @ torch.from_numpy(x.mean(axis=0)))
