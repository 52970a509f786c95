"""How much of the processor others used while a command ran. Two spinning threads on two cores lose most of their speed to one busy
neighbour, and an engine whose threads wait in barriers loses more than one whose threads do not: such pairs say nothing."""

import os
import resource
import subprocess
import time
from pathlib import Path

STAT = Path("/proc/stat")


def _busy() -> float:
    """Seconds of processor time that all of the machine has used, stolen ones included; 0 where the system does not tell."""
    if not STAT.exists():
        return 0.0
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _ours() -> float:
    """Seconds of processor time of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


class Watch:
    """From its making on, the share of the processors that others used."""

    def __init__(self) -> None:
        self.began, self.busy, self.ours = time.perf_counter(), _busy(), _ours()

    def others(self) -> float:
        elapsed = time.perf_counter() - self.began
        used = (_busy() - self.busy) - (_ours() - self.ours)
        return max(0.0, used / elapsed / (os.cpu_count() or 1))


def wait(limit: float, patience: float) -> None:
    """Until others use less than `limit` of the processors for a second, or patience is at its end."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        watch = Watch()
        time.sleep(1)
        if watch.others() < limit:
            return


class Disturbed(Exception):
    """A command was stopped because others kept the processors busy."""


def output(command: list, limit: float | None = None) -> str:
    """What a command prints; its errors end this program. With a limit, the command is stopped as soon as others use more
    of the processors for a second."""
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while True:
            before, busy = _of(child.pid), _busy()
            try:
                out, errors = child.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                others = (_busy() - busy) - (_of(child.pid) - before)
                if limit is not None and others / (os.cpu_count() or 1) > limit:
                    child.kill()
                    raise Disturbed from None
    if child.returncode:
        raise SystemExit(errors.strip() or f"{command[0]} ended with exit code {child.returncode}")
    return out


def _of(pid: int) -> float:
    """Seconds of processor time of a running child."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[-1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
