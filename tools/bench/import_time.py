"""How long ``import ppl`` takes beyond ``import torch``, in fresh interpreters.

    python3 tools/run.py bench -- import_time [RUNS]

Prints the medians and, since the cost of torch differs between machines, their ratio.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

PROGRAM = """
import time
start = time.perf_counter()
import torch
middle = time.perf_counter()
import ppl
print(middle - start, time.perf_counter() - middle)
"""


def measure() -> tuple[float, float]:
    """Return the seconds that torch takes to import, and those that ppl takes after it."""
    command = [sys.executable, "-c", PROGRAM]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    torch_seconds, ppl_seconds = map(float, answer.stdout.split())
    return torch_seconds, ppl_seconds


def main(runs: int) -> None:
    """Measure and print."""
    measure()  # the first run reads the files from the disk
    columns = zip(*(measure() for _ in range(runs)), strict=True)
    torch_seconds, ppl_seconds = map(statistics.median, columns)
    print(f"import torch                {1e3 * torch_seconds:8.1f} ms   median of {runs} runs")
    print(f"import ppl after torch      {1e3 * ppl_seconds:8.1f} ms")
    print(f"import ppl / import torch   {(torch_seconds + ppl_seconds) / torch_seconds:8.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7)
