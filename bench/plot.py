#!/usr/bin/env python3
"""Bars of the decode share by storage, as SVG, from files with the JSON of `ffai bench`:

for bits in 2 3 4 5 6 8 16; do
    ffai bench --config bench/shapes/qwen3-0.6b.json --random-weights --bits $bits --prompt 256 --decode 64 --json >$bits.json
done
python3 bench/plot.py --out docs/decode-share.svg *.json
"""

import argparse
import json
from html import escape
from pathlib import Path

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 22, 12, 190, 150, 56


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--title", default="Decode: share of the measured read bandwidth")
    return parser.parse_args()


def row(path: Path) -> tuple[str, float, str]:
    """A bar's name, its share, and what is written behind it."""
    try:
        found = json.loads(path.read_text())
        result, bandwidth = found["report"]["results"][0], found["report"]["read_bandwidth"]
    except (ValueError, KeyError, IndexError) as error:
        raise SystemExit(f"{path} is not the JSON of `ffai bench`: {error!r}") from error
    name = found["model"].rsplit("random ", 1)[-1].removeprefix("affine ").removesuffix(" (bf16 scales)")
    return Path(name).name, result["share"], f"{result['decode']['median']:.1f} tok/s of {bandwidth / 1e9:.0f} GB/s"


def svg(title: str, rows: list[tuple[str, float, str]]) -> str:
    """The drawing; colours follow the page's theme."""
    height, scale = TOP + len(rows) * (BAR + GAP) + 30, WIDTH - LEFT - RIGHT
    style = (
        "text{font:13px sans-serif;fill:#222}.t{font-size:16px}.b{fill:#2f6f9f}.g{stroke:#bbb}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}.b{fill:#5fa3d6}}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{style}</style><text class="t" x="10" y="24">{escape(title)}</text>',
    ]
    for percent in range(0, 101, 25):
        x = LEFT + scale * percent / 100
        parts.append(f'<line class="g" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{height - 26}"/>')
        parts.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{percent} %</text>')
    for index, (name, share, note) in enumerate(rows):
        y, width = TOP + index * (BAR + GAP), scale * min(share, 1.0)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="b" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
        parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 16}">{share:.0%}, {escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    args = parse()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(svg(args.title, [row(path) for path in args.files]))


if __name__ == "__main__":
    main()
