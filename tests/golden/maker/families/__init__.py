"""The cases of each family. To add a family: a module with `CASES`, and its name below."""

from ..case import Case
from . import dense, hardest, hybrids, llama, mixtures, qwen3, scan_hybrids, scans

CASES: list[Case] = [*llama.CASES, *qwen3.CASES, *dense.CASES, *mixtures.CASES, *hardest.CASES, *hybrids.CASES, *scans.CASES, *scan_hybrids.CASES]
