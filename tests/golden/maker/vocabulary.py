"""A byte-level BPE small enough for a tiny GGUF: control tokens, printable ASCII, and words as far as there is room."""

from typing import Any

import gguf

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# As in GPT-2: the space is U+0120, the newline U+010A.
SYMBOLS = [chr(code) for code in range(0x21, 0x7F)] + ["\u010a", "\u0120"]
MERGES = [
    "\u0120 t",
    "h e",
    "i n",
    "\u0120t he",
    "\u0120 a",
    "r e",
    "o n",
    "\u0120 s",
    "e r",
    "\u0120a n",
    "\u0120an d",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def add_tokenizer(writer: gguf.GGUFWriter, config: dict[str, Any], pre: str) -> None:
    """Metadata keys `tokenizer.ggml.*` for exactly `vocab_size` tokens; what is left over is unused tokens."""
    words = [merge.replace(" ", "") for merge in MERGES]
    tokens = CONTROL + SYMBOLS + words
    spare = config["vocab_size"] - len(tokens)
    assert spare >= 0, f"a GGUF case needs a vocabulary of at least {len(tokens)}"
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.NORMAL] * len(SYMBOLS + words)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens + [f"[PAD{len(tokens) + i}]" for i in range(spare)])
    writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * spare)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
