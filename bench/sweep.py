#!/usr/bin/env python3
"""One small model through every width: what each costs in size, perplexity and speed, for docs/quantization.md.

    cargo build --release
    python3 bench/sweep.py --measure      # SmolLM2-135M-Instruct, 14 widths, a few minutes; fills bench/sweep.json
    python3 bench/sweep.py --write        # the table of docs/quantization.md and docs/quantization.svg, from bench/sweep.json
    python3 bench/sweep.py --check        # whether both are what bench/sweep.json says

The text is crates/cli/src/alice.txt (public domain), the one that `ffai verify` has built in.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from html import escape
from math import log10
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE, PLOT = ROOT / "bench/sweep.json", ROOT / "docs/quantization.md", ROOT / "docs/quantization.svg"
TEXT = ROOT / "crates/cli/src/alice.txt"
BEGIN, END = "<!-- written by bench/sweep.py -->\n", "<!-- end -->\n"
TRUTH = "bf16"
WIDTHS = {
    TRUTH: ["--dtype", "bf16"],
    **{f"{bits} bits": ["--bits", str(bits)] for bits in (8, 6, 5, 4, 3, 2)},
    **{mode: ["--mode", mode] for mode in ("mxfp8", "nvfp4", "mxfp4")},
    **{recipe: ["--recipe", recipe] for recipe in ("mixed_4_6", "mixed_3_6", "mixed_3_4", "mixed_2_6")},
}
# Where a name stands beside its point, so that no two overlap.
LABELS = {
    "3 bits": (-8, -6),
    "4 bits": (-8, -3),
    "nvfp4": (-8, 10),
    "mxfp4": (9, 5),
    "mixed_4_6": (9, 12),
    "mixed_3_6": (8, -4),
    "mixed_3_4": (-8, 14),
    "mixed_2_6": (9, 5),
}
QUESTION = "What is the capital of France?"

Row = dict[str, Any]


def ffai(program: Path, *args: str, threads: bool = True) -> str:
    command = [str(program), *args, *(["--threads", "2"] if threads else [])]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(program: Path, source: str) -> dict[str, Any]:
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: str(Path(scratch) / name.replace(" ", "-")) for name in WIDTHS}
        for name, options in WIDTHS.items():
            print(name, file=sys.stderr)
            origin = source if name == TRUTH else folders[TRUTH]
            said = ffai(program, "convert", origin, folders[name], *options, threads=False).splitlines()[-1]
            rows.append({"name": name, "options": options, **look(program, folders[TRUTH], folders[name], said)})
    machine = json.loads(ffai(program, "doctor", "--json", threads=False))
    return {
        "date": str(datetime.date.today()),
        "processor": machine["processor"]["value"],
        "backend": machine["backend"]["value"],
        "rows": rows,
    }


def look(program: Path, truth: str, folder: str, said: str) -> Row:
    compared = json.loads(ffai(program, "compare", truth, folder, "--text", str(TEXT), "--json"))["result"]
    verified = json.loads(ffai(program, "verify", folder, "--tokens", "24", "--json"))["result"]
    timed = json.loads(ffai(program, "bench", folder, "--prompt", "64", "--decode", "64", "--json"))["report"]
    answer = ffai(program, "run", folder, "--temperature", "0", "--max-tokens", "24", QUESTION)
    return {
        "bytes": sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")),
        "bits": float(said.rsplit(", ", 1)[-1].split()[0]),
        "perplexity": compared["b"]["perplexity"],
        "kl": compared["mean_kl"],
        "same": compared["agreement"][0],
        "decode": timed["results"][0]["decode"],
        "verified": verified["passed"],
        "answer": answer.strip(),
    }


def table(rows: list[Row]) -> str:
    timed = all("decode" in row for row in rows)
    heading = ["width", "bits per weight", "size", "perplexity", "KL divergence from bf16", "same best token"]
    heading += ["decode tok/s"] if timed else []
    lines = ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
    for row in rows:
        kl = "0" if row["name"] == TRUTH else f"{row['kl'][0]:.4f} +- {row['kl'][1]:.4f}"
        perplexity = f"{row['perplexity']:.2f}" if row["perplexity"] < 1000 else f"{row['perplexity']:.0f}"
        cells = [row["name"], f"{row['bits']:.2f}", f"{row['bytes'] / 1e6:.1f} MB", perplexity, kl, f"{row['same']:.0%}"]
        if timed:
            speed = row["decode"]
            cells.append(f"{speed['median']:.0f} ({speed['min']:.0f} to {speed['max']:.0f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def svg(rows: list[Row]) -> str:
    """Divergence over bits, the first on a logarithmic scale; colours follow the page's theme."""
    width, height, left, right, top, bottom = 760, 430, 70, 40, 50, 60
    shown = [row for row in rows if row["name"] != TRUTH]
    least, most = 1e-3, 30.0
    title = "KL divergence from bf16 in nats, over bits per weight: SmolLM2-135M-Instruct"

    def place(row: Row) -> tuple[float, float]:
        x = left + (width - left - right) * (row["bits"] - 2) / 7
        kl = min(max(row["kl"][0], least), most)
        return x, top + (height - top - bottom) * (log10(most) - log10(kl)) / (log10(most) - log10(least))

    style = (
        "text{font:13px sans-serif;fill:#222}.t{font-size:16px}.a{fill:#2f6f9f}.m{fill:#b5622a}.g{stroke:#bbb}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}.a{fill:#5fa3d6}.m{fill:#e09a63}}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{style}</style><text class="t" x="10" y="24">{escape(title)}</text>',
    ]
    for kl in (0.001, 0.01, 0.1, 1.0, 10.0):
        _, y = place({"bits": 2, "kl": [kl]})
        parts.append(f'<line class="g" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{kl:g}</text>')
    for bits in range(2, 10):
        x, _ = place({"bits": bits, "kl": [1]})
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 20}" text-anchor="middle">{bits}</text>')
    for row in shown:
        x, y = place(row)
        right, down = LABELS.get(row["name"], (8, -6))
        side = ' text-anchor="end"' if right < 0 else ""
        kind = "a" if row["name"].endswith("bits") else "m"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text x="{x + right:.1f}" y="{y + down:.1f}"{side}>{escape(row["name"])}</text>')
    legend = "blue: affine codes of one width; orange: small floats and mixed recipes"
    parts.append(f'<text x="{left}" y="{height - 12}">{legend}</text>')
    return "\n".join([*parts, "</svg>", ""])


def pages(results: dict[str, Any]) -> dict[Path, str]:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {PAGE: before + BEGIN + "\n" + table(results["rows"]) + "\n" + END + after, PLOT: svg(results["rows"])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    for option in ("--measure", "--write", "--check"):
        what.add_argument(option, action="store_true")
    parser.add_argument("--ffai", type=Path, default=ROOT / "target/release/ffai")
    parser.add_argument("--source", default="smollm2", help="the model; smollm2 unless given")
    args = parser.parse_args()
    if args.measure:
        RESULTS.write_text(json.dumps(measure(args.ffai, args.source), indent=1) + "\n")
        return 0
    wrong = [path for path, text in pages(json.loads(RESULTS.read_text())).items() if not path.exists() or path.read_text() != text]
    for path in wrong:
        if args.write:
            path.write_text(pages(json.loads(RESULTS.read_text()))[path])
        else:
            print(f"{path.relative_to(ROOT)} is not what bench/sweep.json says: python3 bench/sweep.py --write", file=sys.stderr)
    return int(bool(wrong) and not args.write)


if __name__ == "__main__":
    sys.exit(main())
