"""The tokenizer of SmolLM2 from the metadata of its GGUF."""

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def build(reader: gguf.GGUFReader) -> PreTrainedTokenizerFast:
    """`tokenizer.ggml.pre = smollm`: every numeric character stands alone, then the byte-level BPE of GPT-2.

    Control tokens are matched inside the text; nothing is put before or after it.
    """

    def value(key: str):
        return reader.get_field(f"tokenizer.{key}").contents()

    tokens = value("ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in value("ggml.merges")]
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    control = [
        token for token, kind in zip(tokens, value("ggml.token_type"), strict=True) if kind == gguf.TokenType.CONTROL
    ]
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=tokens[value("ggml.eos_token_id")],
        chat_template=value("chat_template"),
        clean_up_tokenization_spaces=False,
    )
