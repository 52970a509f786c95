"""Writes pre.json: a small byte-level vocabulary, hard texts, and the ids they have under each pre-tokenizer of GGUF files.

    python3 pre.py      (needs gguf, llama-cpp-python, regex, tokenizers, transformers)

The vocabulary is learned from whole texts, so that its tokens cross every border that a pre-tokenizer may draw: a border in the
wrong place shows. llama.cpp gives the ids. Where transformers knows the model's own expressions those decide, and where the
model normalises, which llama.cpp never does, it sees normalised text. The rows say where plain llama.cpp gives something else.
"""

import json
import tempfile
import unicodedata
from pathlib import Path

import regex
from gguf import GGUFWriter
from hard import HARD
from llama_cpp import Llama
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
from tokens import TEXTS
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

HERE = Path(__file__).parent
NFC = {"qwen2", "qwen35", "command-r", "olmo"}
WHOLE_WORDS = {"llama-bpe", "glm4", "tekken"}
NAMES = """gpt-2 olmo smollm starcoder refact command-r llama-bpe dbrx smaug-bpe chatglm-bpe glm4 qwen2 qwen35 seed-coder
    deepseek-llm deepseek-coder deepseek-v3 tekken gpt-4o llama4""".split()
# Two thousand letters with two cases: llama.cpp, which has its own list, agrees with this one.
PATTERNS = (HERE / "../../crates/text/src/gguf/patterns.rs").read_text()
LETTERS = "".join(regex.findall(r'^ +r"((?:\\x\{[0-9A-F]+\}-?)+)",$', PATTERNS, regex.MULTILINE))
# llama.cpp takes white space out of this range before it matches.
EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
SPLITS = {name: [split] for name, split in GGUF_PRE_TOKENIZER_SPLITS.items()} | {
    "deepseek-llm": [
        r"[\r\n]", rf"\s?[A-Za-z{LETTERS}]+", r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", EAST_ASIAN, r"\p{N}+",
    ],  # fmt: skip
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, r"\p{N}"],
}
CONTROL, USER_DEFINED = ["<|im_start|>", "<|im_end|>"], ["<think>"]


def learn(texts):
    """Merges over whole texts, and the tokens that follow from them: the bytes' letters, then one for each merge."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=1400, initial_alphabet=letters, show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(texts, trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    joined = dict.fromkeys(left + right for left, right in merges)  # two merges may give one token
    return merges, [*letters, *joined, *CONTROL, *USER_DEFINED]


def with_llama_cpp(name, tokens, merges, folder):
    path = str(Path(folder) / "vocabulary.gguf")
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in CONTROL else 4 if token in USER_DEFINED else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokens.index(CONTROL[0]))
    writer.add_eos_token_id(tokens.index(CONTROL[1]))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        write()
    model = Llama(path, vocab_only=True, verbose=False)
    return lambda text: model.tokenize(text.encode(), add_bos=False, special=True)


def with_library(name, tokens, merges):
    """The model's own expressions, in the tokenizers library; none where they are not known here."""
    if name not in SPLITS:
        return None
    vocabulary = {token: id for id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=name in WHOLE_WORDS))
    splits = [pre_tokenizers.Split(Regex(split), behavior="isolated") for split in SPLITS[name]]
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, bytes_])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in USER_DEFINED])
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def main():
    texts = list(dict.fromkeys(TEXTS + HARD))
    merges, tokens = learn([part for text in texts for part in regex.split("<[^>]*>", text) for _ in range(2)])
    rows = [{"text": text, "ids": [], "llama.cpp": {}} for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            plain, library = with_llama_cpp(name, tokens, merges, folder), with_library(name, tokens, merges)
            for row in rows:
                text = unicodedata.normalize("NFC", row["text"]) if name in NFC else row["text"]
                ids = (library or plain)(text)
                if (theirs := plain(row["text"])) != ids:
                    row["llama.cpp"][name] = theirs
                same = next((group for group in row["ids"] if group[1] == ids), None)
                if same:
                    same[0].append(name)
                else:
                    row["ids"].append([[name], ids])
    for name in NAMES:
        print(f"{name:16}{sum(name in row['llama.cpp'] for row in rows):4} of {len(rows)} texts differ in plain llama.cpp")
    head = {"merges": [" ".join(merge) for merge in merges], "control": CONTROL, "user_defined": USER_DEFINED}
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    (HERE / "pre.json").write_text(json.dumps(head)[:-1] + ', "rows": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
