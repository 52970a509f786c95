#!/usr/bin/env python3
"""Chooses the inputs of fuzz/corpus that are worth committing, into fuzz/kept: few, small, and together they reach the most.

    RUSTC_BOOTSTRAP=1 python3 fuzz/keep.py gguf      (after a run; all targets without a name)
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

FUZZ = pathlib.Path(__file__).resolve().parent
TARGETS = ["gguf", "safetensors", "config", "tokenizer", "template"]
MOST_FILES, MOST_BYTES, LARGEST = 60, 150_000, 20_000


def features(target, folder):
    """What each input reaches, in libFuzzer's own count: it writes that down while it merges."""
    control, out = folder / "control", folder / "out"
    out.mkdir()
    options = ["-merge=1", "-rss_limit_mb=2048", f"-merge_control_file={control}"]
    command = ["cargo", "fuzz", "run", target, out, FUZZ / "corpus" / target, "--", *options]
    subprocess.run(command, cwd=FUZZ.parent, check=True, capture_output=True)
    lines = control.read_text().splitlines()
    files, reached = lines[2 : 2 + int(lines[0])], {}
    for line in lines[2 + int(lines[0]) :]:
        kind, number, *rest = line.split()
        if kind == "FT":
            reached[pathlib.Path(files[int(number)])] = set(rest)
    return reached


def choose(reached):
    """Greedily the input that adds the most for its size."""
    size = {path: path.stat().st_size for path in reached}
    left, have, bytes_ = {path for path in reached if size[path] <= LARGEST}, set(), 0
    while left and bytes_ < MOST_BYTES:
        best = max(sorted(left), key=lambda path: len(reached[path] - have) / (size[path] + 2000))
        new = reached[best] - have
        left.discard(best)
        if not new:
            return
        if bytes_ + size[best] <= MOST_BYTES:
            have, bytes_ = have | new, bytes_ + size[best]
            yield best


def main():
    for target in sys.argv[1:] or TARGETS:
        kept = FUZZ / "kept" / target
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            for number, path in enumerate(choose(features(target, pathlib.Path(folder)))):
                if number < MOST_FILES:
                    shutil.copyfile(path, kept / f"{number:02}")
        files = list(kept.iterdir())
        print(f"{target}: {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


if __name__ == "__main__":
    main()
