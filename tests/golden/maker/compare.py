"""Two folders of a case side by side: what differs, as lines of text. Logits may differ by rounding, all else not."""

from pathlib import Path

import numpy as np
from safetensors.torch import load_file

LOGITS_TOLERANCE = 1e-5


def differences(committed: Path, fresh: Path) -> list[str]:
    """Empty if the committed folder is what the script makes."""
    names = {path.name for folder in (committed, fresh) if folder.is_dir() for path in folder.iterdir()}
    found = []
    for name in sorted(names):
        ours, theirs = committed / name, fresh / name
        if not ours.exists() or not theirs.exists():
            found.append(f"{name} is {'missing' if theirs.exists() else 'not made any more'}")
        elif name.endswith(".safetensors"):
            found += _tensor_differences(ours, theirs)
        elif ours.read_bytes() != theirs.read_bytes():
            found.append(f"{name} differs")
    return found


def _tensor_differences(ours: Path, theirs: Path) -> list[str]:
    a, b = load_file(ours), load_file(theirs)
    if a.keys() != b.keys():
        return [f"{ours.name} holds other tensors"]
    found = []
    for name in a:
        if a[name].dtype != b[name].dtype or a[name].shape != b[name].shape:
            found.append(f"{ours.name}: {name} has another type or shape")
        elif not a[name].equal(b[name]) and not (name == "logits" and _close(a[name].numpy(), b[name].numpy())):
            found.append(f"{ours.name}: {name} differs")
    return found


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return float(np.linalg.norm(a - b)) <= LOGITS_TOLERANCE * float(np.linalg.norm(b))
