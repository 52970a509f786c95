"""Writes pieces.json: a small SentencePiece vocabulary, hard texts, and the ids that SentencePiece gives for them.

    python3 pieces.py      (needs sentencepiece)
"""

import io
import json
from pathlib import Path

import sentencepiece
from hard import HARD
from tokens import TEXTS

CORPUS = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("conversations.py", "tokens.py")]
# SentencePiece cannot tell these apart from its own marks.
UNFIT = ("\u2581", "\x00", "<|", "\u0120")


def train():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        character_coverage=0.98,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind(model, id):
    """ggml's numbers for kinds of tokens."""
    return 2 if model.is_unknown(id) else 3 if model.is_control(id) else 6 if model.is_byte(id) else 1


def main():
    model = train()
    ids = range(model.get_piece_size())
    texts = [text for text in dict.fromkeys(TEXTS + HARD) if not any(mark in text for mark in UNFIT)]
    fixture = {
        "tokens": [model.id_to_piece(id) for id in ids],
        "scores": [model.get_score(id) for id in ids],
        "types": [kind(model, id) for id in ids],
        "rows": [{"text": text, "ids": model.encode(text)} for text in texts],
    }
    Path(__file__).with_name("pieces.json").write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
