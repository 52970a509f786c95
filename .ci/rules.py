#!/usr/bin/env python3
"""Rules of the tree that no compiler checks. Each prints the place and what to do."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAMILIES = re.compile(r'model_type\(\)\s*[!=]=|family\s*[!=]=\s*"|match\s+\w*\.?family\b')
# The design's one-way street: a crate may name only those to its left.
ORDER = {
    "checkpoint": set(),
    "model": {"checkpoint"},
    "convert": {"checkpoint", "model", "text"},
    "program": {"checkpoint", "model"},
    "cpu": {"checkpoint", "model", "program"},
    "cuda": {"checkpoint", "model", "program"},
    "engine": {"program"},
    "measure": {"checkpoint", "model", "program"},
    "text": {"checkpoint"},
    "ffai": {"checkpoint", "model", "program", "cpu", "cuda", "convert", "engine", "measure", "text"},
    "cli": {"ffai"},
}


def tracked(pattern):
    out = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for line in out.splitlines() if (path := ROOT / line).exists()]


def no_family_outside_families():
    for path in tracked("crates/*.rs"):
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith("crates/model/src/families/") or "/tests/" in relative:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if FAMILIES.search(line):
                yield f"{relative}:{number}: asks for a family; give the spec a field instead"


def unsafe_only_in_kernels_and_mapping():
    for path in tracked("crates/*.rs"):
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(("crates/cpu/", "crates/cuda/")) or relative == "crates/checkpoint/src/bytes.rs":
            continue
        if re.search(r"\bunsafe\s*(\{|fn|impl)", path.read_text()):
            yield f"{relative}: unsafe code belongs into crates/cpu, crates/cuda or the mapping code"


def dependencies_point_one_way():
    for name, allowed in ORDER.items():
        text = (ROOT / "crates" / name / "Cargo.toml").read_text()
        dependencies = text.split("[dependencies]")[1].split("[dev-dependencies]")[0]
        for found in re.findall(r"^ffai-(\w+)", dependencies, re.M):
            if found not in allowed:
                yield f"crates/{name}/Cargo.toml: {name} must not depend on {found}: see ARCHITECTURE.md"


def goldens_stay_small():
    total = 0
    for folder in {p.parent for p in tracked("tests/golden/*/*/*")}:
        size = sum(p.stat().st_size for p in folder.iterdir() if p.is_file())
        total += size
        if size > 300_000:
            yield f"{folder.relative_to(ROOT)}: {size} bytes, a golden may have 300,000"
    if total > 12_000_000:
        yield f"tests/golden: {total} bytes, all goldens together may have 12,000,000"


def files_stay_readable():
    for path in tracked("crates/*.rs"):
        lines = len(path.read_text().splitlines())
        if lines > 600:
            yield f"{path.relative_to(ROOT)}: {lines} lines; split it by thought"


def no_stubs():
    for path in tracked("crates/*.rs"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\b(todo|unimplemented)!|\bTODO\b|\bFIXME\b|#\[ignore", line):
                yield f"{path.relative_to(ROOT)}:{number}: finish it or take it out"


RULES = [
    no_family_outside_families,
    unsafe_only_in_kernels_and_mapping,
    dependencies_point_one_way,
    goldens_stay_small,
    files_stay_readable,
    no_stubs,
]

if __name__ == "__main__":
    problems = [problem for rule in RULES for problem in rule()]
    print("\n".join(problems) or f"{len(RULES)} rules hold")
    sys.exit(bool(problems))
