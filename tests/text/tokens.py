"""Writes tokens.json: hard texts and the ids that SmolLM2's tokenizer gives for them.

    python3 tokens.py SmolLM2-135M-Instruct.Q4_1.gguf      (needs gguf, regex, tokenizers)

Twice: with the tokenizers library, set up by hand (transformers' own reading of the GGUF leaves out that `smollm`
isolates digits), and with forty lines of Python that know nothing of it. They must agree.
"""

import json
import sys
from pathlib import Path

import regex
from gguf import GGUFReader
from hard import HARD
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n\n", "\t", " \n ", "a", " a", "  a", "   a   b    c", "a ", "a  ", "\r\n", "a\r\nb",
    "Hello, world!", "hello world", "HELLO WORLD", "Why is the sky blue?",
    "I'm, you're, he's, we'll, they'd, I've, can't", "I'M YOU'RE HE'S", "'s 's's ''s",
    "1", "12", "123", "1234567890", " 1", "  1", "   1", "    12", "a1", "a 1", "a  1", "1a", "1 a", "3.14", "1,000,000", "2+2=4",
    "in 2024, on 07/06", "v1.2.3-rc4", "x²+y³", "½ cup", "Ⅷ", "①②③", "٣٤٥", "१२३", " ٣", "  ½", "𝟙𝟚",
    "def f(x):\n    return x + 1\n", "if (a && b) { return; }", "\tindented\n\t\ttwice", "// comment   \n", "<html>&amp;</html>",
    "naïve café", "Århus", "Straße", "e\u0301 vs \u00e9", "Привет, мир", "你好，世界", "こんにちは", "안녕하세요", "שלום", "مرحبا", "ไทย",
    "😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽 ok", "a😀b", "\u200b", "\u00a0", " \u00a0 ", "\u3000", "\ufeff", "\u2028", "\x00", "\x7f", "\u00ad",
    "...", "…", "--", "—", "!!!???", "$100", "50%", "#tag @user", "http://example.com/a?b=c&d=e", "C:\\path\\file", "a_b-c.d",
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|>", "a<|im_end|>b", " <|im_end|> ", "<|endoftext|>", "<|im_start|", "<repo_name>x<file_sep>",
    "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "the the the", "\u0120", "Ġhello", "ÿþ",
    "GPL-3.0 or later; version 3 of the License", "Line one.  Two spaces.   Three.", "  leading and trailing  ",
]  # fmt: skip
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def fields(path):
    reader = GGUFReader(path)
    get = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents()
    return get("tokens"), get("token_type"), [tuple(merge.split(" ")) for merge in get("merges")]


def with_library(tokens, types, merges):
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    digits, rest = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token) for token, type in zip(tokens, types) if type == 3])
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def by_hand(tokens, types, merges):
    ids = {token: id for id, token in enumerate(tokens)}
    rank = {merge: at for at, merge in enumerate(merges)}
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letter = {byte: chr(byte) for byte in printable}
    letter |= {byte: chr(256 + at) for at, byte in enumerate(byte for byte in range(256) if byte not in letter)}
    control = "|".join(regex.escape(token) for token, type in zip(tokens, types) if type == 3)

    def bpe(word):
        parts = [letter[byte] for byte in word.encode()]
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda at: rank.get((parts[at], parts[at + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [ids[part] for part in parts]

    def encode(text):
        out = []
        for piece in regex.split(f"({control})", text):
            if piece in ids and regex.fullmatch(control, piece):
                out.append(ids[piece])
                continue
            for run in regex.findall(r"\p{N}|[^\p{N}]+", piece):
                for word in regex.findall(GPT2, run):
                    out += bpe(word)
        return out

    return encode


def main():
    parts = fields(sys.argv[1])
    library, hand = with_library(*parts), by_hand(*parts)
    rows = []
    for text in dict.fromkeys(TEXTS + HARD):
        assert library(text) == hand(text), (text, library(text), hand(text))
        rows.append({"text": text, "ids": library(text)})
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in rows)
    Path(__file__).with_name("tokens.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
