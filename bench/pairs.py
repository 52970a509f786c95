"""ffai and a rival in turns, A B A B, on the same machine in the same minutes: the ratio of a pair outlives the machine's moods."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import quiet
from quiet import output

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sample:
    """One run of one engine: tokens per second, and bytes that a decode step reads."""

    prefill: float
    decode: float
    step_bytes: float


@dataclass(frozen=True)
class Pair:
    """Two runs next to each other, the bytes per second that ffai's threads read in its run, and what others used of the processors."""

    ffai: Sample
    rival: Sample
    bandwidth: float
    others: float


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that all comparisons share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--ffai", type=Path, default=ROOT / "target/release/ffai", help="the ffai binary")
    parser.add_argument("--threads", type=int, default=2, help="threads of both engines")
    parser.add_argument("--rounds", type=int, default=3, help="pairs")
    parser.add_argument("--quiet", type=float, default=0.05, help="a pair counts if others use no more of the processors")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for that before a run")
    parser.add_argument("--cache", type=Path, help="where random checkpoints are kept")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def ffai_bench(args: argparse.Namespace, model: list, limit: float | None) -> dict:
    """The report of one warm-up and one counted run of `ffai bench`."""
    sizes = ["--prompt", args.prompt, "--decode", args.decode, "--threads", args.threads]
    return json.loads(output([args.ffai, "bench", *model, *sizes, "--runs", 1, "--json"], limit))["report"]


def run(args: argparse.Namespace, model: list, rival: Callable[[float | None], Sample]) -> tuple[list[Pair], dict]:
    """Pairs until enough of them are quiet, at most three times as many; and ffai's last report."""
    if args.rounds < 1:
        raise SystemExit("--rounds must be at least 1")
    pairs = []
    while len(pairs) < 3 * args.rounds and sum(_counts(p, args) for p in pairs) < args.rounds:
        ours, report, noise = _measured(args, lambda limit: _ours(args, model, limit))
        theirs, _, more = _measured(args, lambda limit: (rival(limit), None))
        pairs.append(Pair(ours, theirs, report["read_bandwidth"], max(noise, more)))
        print(f"pair {len(pairs)}: others used {pairs[-1].others:.0%} of the processors", file=sys.stderr)
    return pairs, report


def _counts(pair: Pair, args: argparse.Namespace) -> bool:
    return pair.others <= args.quiet


def _ours(args: argparse.Namespace, model: list, limit: float | None) -> tuple[Sample, dict]:
    report = ffai_bench(args, model, limit)
    result = report["results"][0]
    return Sample(result["prefill"]["median"], result["decode"]["median"], result["bytes_per_step"]), report


def _measured(args: argparse.Namespace, engine: Callable[[float | None], tuple]) -> tuple:
    """What the engine returns, and what others used meanwhile. A disturbed run is begun again while there is patience."""
    end = time.monotonic() + args.patience
    while True:
        quiet.wait(args.quiet, end - time.monotonic())
        watch = quiet.Watch()
        try:
            limit = args.quiet + 0.05 if time.monotonic() < end else None
            return (*engine(limit), watch.others())
        except quiet.Disturbed:
            continue


def _share(sample: Sample, pair: Pair) -> float:
    return sample.decode * sample.step_bytes / pair.bandwidth


def summary(pairs: list[Pair]) -> dict:
    """Medians, and of each ratio the median, the least and the greatest of the pairs."""

    def ratios(field: str) -> dict:
        values = [getattr(p.ffai, field) / getattr(p.rival, field) for p in pairs]
        return {"median": median(values), "min": min(values), "max": max(values)}

    def engine(name: str) -> dict:
        samples = [(getattr(p, name), p) for p in pairs]
        fields = {f: median(getattr(s, f) for s, _ in samples) for f in ("prefill", "decode")}
        return fields | {"share": median(_share(s, p) for s, p in samples)}

    return {
        "ffai": engine("ffai"),
        "rival": engine("rival"),
        "ratio": {"prefill": ratios("prefill"), "decode": ratios("decode")},
        "bandwidth": median(p.bandwidth for p in pairs),
    }


def show(args: argparse.Namespace, about: dict, names: tuple[str, str], pairs: list[Pair]) -> None:
    """Prints the rounds and their summary, for people or as JSON."""
    counted = [p for p in pairs if _counts(p, args)]
    total = summary(counted or pairs)
    about["pairs"] = f"{len(counted)} quiet of {len(pairs)}" + ("" if counted else ": none was, so all are counted")
    about["bytes a step"] = f"{pairs[0].ffai.step_bytes / 1e9:.3f} : {pairs[0].rival.step_bytes / 1e9:.3f} GB"
    if args.json:
        print(json.dumps({**about, "rounds": [asdict(p) for p in pairs], "summary": total}, indent=2))
        return
    for key, value in about.items():
        print(f"{key:13} {value}")
    print(
        f"\n{'round':>6}{'prefill tok/s':>24}{'ratio':>8}{'decode tok/s':>22}{'ratio':>8}{'share':>14}{'read':>12}{'others':>8}"
    )
    for number, pair in enumerate(pairs, 1):
        a, b = pair.ffai, pair.rival
        shares = f"{_share(a, pair):.0%} : {_share(b, pair):.0%}"
        row = _row(str(number), (a.prefill, b.prefill), (a.decode, b.decode), shares, pair.bandwidth)
        print(f"{row}{pair.others:>8.0%}{'' if _counts(pair, args) or not counted else '  not counted'}")
    a, b = total["ffai"], total["rival"]
    shares = f"{a['share']:.0%} : {b['share']:.0%}"
    print(_row("median", (a["prefill"], b["prefill"]), (a["decode"], b["decode"]), shares, total["bandwidth"]))
    for field, r in total["ratio"].items():
        print(f"{names[0]} : {names[1]}, {field}: {r['median']:.2f} ({r['min']:.2f} to {r['max']:.2f})")


def _row(name: str, prefill: tuple, decode: tuple, shares: str, bandwidth: float) -> str:
    (p, q), (d, e) = prefill, decode
    left = f"{name:>6}{f'{p:.1f} : {q:.1f}':>24}{p / q:>8.2f}{f'{d:.1f} : {e:.1f}':>22}{d / e:>8.2f}"
    return left + f"{shares:>14}{bandwidth / 1e9:>7.1f} GB/s"
