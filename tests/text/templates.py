"""Writes templates.json: what transformers makes of chat templates.

    python3 templates.py      (needs transformers and jinja2; fetches the templates of Llama 3.2 and Qwen 3)

The templates of Llama 3.2 and Qwen 3 are not written anywhere but into a scratch folder, only their SHA-256. That of
SmolLM2 stands in its GGUF; with `--smollm2 FILE` its renders are made too, otherwise those in the fixture are kept.
"""

import argparse
import datetime as dates
import hashlib
import json
import tempfile
from pathlib import Path

import jinja2
import transformers
from conversations import CONVERSATIONS
from fetch_templates import fetch
from snippets import BLOCKS, SNIPPETS, VARIABLES
from tokenizers import Tokenizer, models
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
OUT = HERE / "templates.json"
SPECIAL = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
NOW = "2024-07-06T15:04:05"


class Clock(dates.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(NOW)


def outcome(render):
    """What came out: a text, the template's own refusal, or just that it failed (the words are each engine's own)."""
    try:
        return {"text": render()}
    except jinja2.exceptions.TemplateSyntaxError:
        return {"fails": "syntax"}
    except jinja2.exceptions.TemplateError as error:
        own = type(error) is jinja2.exceptions.TemplateError
        return {"raised": str(error)} if own else {"fails": "rendering"}
    except Exception:
        return {"fails": "rendering"}


def renders(template):
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **SPECIAL)

    def render(conversation):
        rest = {key: value for key, value in conversation.items() if key not in ("messages", "variables")}
        return tokenizer.apply_chat_template(
            conversation["messages"], chat_template=template, tokenize=False, **rest, **conversation.get("variables", {})
        )

    return {name: outcome(lambda: render(conversation)) for name, conversation in CONVERSATIONS.items()}


def snippet(template):
    def render():
        return chat_template_utils.render_jinja_template([[]], chat_template=template, **VARIABLES)[0][0]

    return {"template": template, **outcome(render)}


def smollm2(path):
    from gguf import GGUFReader

    return GGUFReader(path).fields["tokenizer.chat_template"].contents()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smollm2", type=Path, help="SmolLM2-135M-Instruct.Q4_1.gguf")
    args = parser.parse_args()
    chat_template_utils.datetime = Clock

    with tempfile.TemporaryDirectory() as scratch:
        foreign = fetch(Path(scratch))
    kept = json.loads(OUT.read_text(encoding="utf-8"))["foreign"] if OUT.exists() else {}
    if args.smollm2:
        foreign["smollm2"] = smollm2(args.smollm2)
    ours = {path.stem: path.read_text(encoding="utf-8") for path in sorted((HERE / "templates").glob("*.jinja"))}
    sha256 = {name: hashlib.sha256(template.encode()).hexdigest() for name, template in foreign.items()}
    fixture = {
        "made_with": f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}",
        "now": NOW,
        "special_tokens": SPECIAL,
        "conversations": CONVERSATIONS,
        "ours": {name: renders(template) for name, template in ours.items()},
        "foreign": kept | {name: {"sha256": sha256[name], "renders": renders(foreign[name])} for name in foreign},
        "variables": VARIABLES,
        "snippets": [snippet(template) for template in SNIPPETS + BLOCKS],
    }
    OUT.write_text(json.dumps(fixture, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
