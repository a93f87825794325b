"""The allocator of a process of our own."""

import subprocess
import sys

import pytest

CHURN = """
import resource
import torch
from styler.processes import keep_freed_memory

assert keep_freed_memory(KEEP)
for _ in range(20):
    torch.ones(2**25)  # 128 MiB, until they have found their places
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is told on Linux only")
def test_freed_memory_is_kept_or_given_back() -> None:
    faults = []
    for keep in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", CHURN.replace("KEEP", keep)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        faults.append(int(done.stdout))
    kept, given_back = faults
    assert given_back > 2**25 * 4 / 4096 * 9  # each page of each array is new
    assert kept < given_back / 2
