"""A real cross-encoder on disk: the packaged MiniLM's weights under a head that is fitted here.

The head is a ridge regression on the [CLS] states of pairs, question and sentence that answers or does not; it need not be
good, only better than chance on questions of the same kind, and the same in every run.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.adapters.model_folder import package_folder

_NAMES = ("Rollo", "Anna", "Mercator", "Hugo", "Clara", "Basil")
_FACTS = {
    "Where was {} born?": ("{} was born here.", "{} was born in a small town by the sea.", "In Rouen {} was born."),
    "What did {} write?": ("{} wrote a book of maps.", "The letters were written by {}.", "{} is the author of it."),
    "When did {} die?": ("{} died in 1321.", "In the winter of that year {} died.", "{} was dead by March."),
}
_OTHERS = ("Bolts are sold by weight.", "Nuts, by the piece.", "It rained all day.", "The index is in memory.")


def pairs() -> tuple[list[tuple[str, str]], list[float]]:
    """Pairs, and 1 where the second text answers the first."""
    found: list[tuple[str, str]] = []
    answers: list[float] = []
    for (question, facts), name in itertools.product(_FACTS.items(), _NAMES):
        wrong = [fact for other, those in _FACTS.items() if other != question for fact in those[:1]]
        texts = [(fact, 1.0) for fact in facts] + [(text, 0.0) for text in (*_OTHERS, *wrong)]
        for text, answer in texts:
            found.append((question.format(name), text.format(name)))
            answers.append(answer)
    return found, answers


def build(folder: Path, labels: int = 1) -> Path:
    """Write the model to `folder`, as sentence-transformers saves it."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = CrossEncoder(str(package_folder()), num_labels=labels, device="cpu", local_files_only=True, max_length=256)
    model.eval()
    if labels == 1:
        _fit(model)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _fit(model: Any) -> None:
    import torch

    bert = model.model
    texts, answers = pairs()
    states: list[Any] = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            features = model.preprocess(texts[start : start + 32])
            inputs = {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
            states.append(bert.bert(**inputs).pooler_output)
    x = torch.cat(states).numpy().astype(np.float64)
    y = 8 * (np.array(answers) - 0.5)
    centred = x - x.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + 0.1 * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    with torch.no_grad():
        bert.classifier.weight.copy_(torch.from_numpy(weight[None]))
        bert.classifier.bias.fill_(float(y.mean() - x.mean(axis=0) @ weight))


def build_chat(folder: Path, window: int = 128) -> Path:
    """A reranker of the other kind: a language model that reads a filled-in template and is asked for yes or no. Its weights
    are drawn, since only what it reads is looked at."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(package_folder(), local_files_only=True, padding_side="left")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}answer:"
    tokenizer.model_max_length = window
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), **sizes, **heads)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
