#!/usr/bin/env python3
"""Makes the tiny checkpoints of this folder and their reference logits; README.md says what they are.

pip install -r requirements.txt
python make.py                      all of them
python make.py --only 'llama/mlx*'  some
python make.py --check              remakes in a temporary folder and compares
"""

import argparse
import shutil
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from maker import reference
from maker.case import Case
from maker.compare import differences
from maker.families import CASES
from maker.weights import from_zero, random_weights

HERE = Path(__file__).parent
LARGEST_CASE = 300_000
LOGITS_STD = (0.7, 5.0)
# Whatever goes wrong before shows in these, for every token sees all before it.
KEPT_LOGITS = 8


def make(case: Case, root: Path) -> str:
    """Writes the folder of one case anew; returns its row of the table."""
    folder = root / case.path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stored = write(case, folder)
    tokens = case.token_ids()
    logits, peak = reference.logits(case.config, stored, tokens)
    assert LOGITS_STD[0] < logits.std() < LOGITS_STD[1], f"{case.path}: logits have std {logits.std():.2f}"
    save_file({"tokens": tokens, "logits": np.ascontiguousarray(logits[-KEPT_LOGITS:])}, folder / "golden.safetensors")
    size = folder_size(folder)
    assert size <= LARGEST_CASE, f"{case.path} has {size} bytes"
    return row(case.path, size, f"{len(tokens)}", f"{logits.std():.2f}", f"{peak:.2f}")


def write(case: Case, folder: Path) -> dict[str, np.ndarray]:
    """Writes the checkpoint of a case; returns the values that it stores."""
    weights = random_weights(reference.shapes(case.config), case.rng("weights"))
    if case.norms_from_zero:
        weights = from_zero(weights)
    return case.storage.write(folder, case.config, weights)


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def row(name: str, size: int | str, *rest: str) -> str:
    """One line of the table of sizes."""
    size = f"{size / 1000:.0f}" if isinstance(size, int) else size
    return f"{name:36}" + "".join(f"{cell:>8}" for cell in (size, *rest))


def make_all(cases: list[Case]) -> int:
    """Makes the cases in place and prints the table."""
    print(row("case", "kB", "tokens", "std", "peak"))
    for case in cases:
        print(make(case, HERE), flush=True)
    for family in sorted({case.family for case in CASES}):
        print(row(family, folder_size(HERE / family)))
    return 0


def check(cases: list[Case]) -> int:
    """Compares with what is committed; 1 if anything differs or a folder belongs to no case."""
    wrong = stale()
    with tempfile.TemporaryDirectory() as root:
        for case in cases:
            make(case, Path(root))
            wrong += [f"{case.path}: {line}" for line in differences(HERE / case.path, Path(root) / case.path)]
    print("\n".join(wrong) or f"{len(cases)} cases are as committed")
    return 1 if wrong else 0


def stale() -> list[str]:
    """Folders that no table names."""
    known = {case.path for case in CASES}
    folders = (path for family in {case.family for case in CASES} for path in (HERE / family).glob("*"))
    names = (f"{path.parent.name}/{path.name}" for path in folders)
    return [f"{name}: belongs to no case" for name in sorted(names) if name not in known]


def main() -> int:
    """Parses the arguments and runs one of the modes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PATTERN", default="*", help="cases by family/name, with * and ?")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print the names")
    mode.add_argument("--check", action="store_true", help="remake and compare, change nothing")
    mode.add_argument(
        "--verify", action="store_true", help="compare with mlx-lm and with the GGUF loader of transformers"
    )
    arguments = parser.parse_args()
    cases = [case for case in CASES if fnmatch(case.path, arguments.only)]
    if not cases:
        parser.error(f"no case matches {arguments.only}")
    if arguments.list:
        print("\n".join(case.path for case in cases))
        return 0
    if arguments.verify:
        from maker.verify import verify

        return verify(cases, HERE)
    return check(cases) if arguments.check else make_all(cases)


if __name__ == "__main__":
    sys.exit(main())
