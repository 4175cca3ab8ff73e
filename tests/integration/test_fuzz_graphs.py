"""Random graphs of every ONNX operator either predict probabilities or raise WeightsError.

A failure shows its case number. To repeat it, run
``python tests/integration/graph_fuzzer.py NUMBER 1``.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("processes are limited with Linux's means", allow_module_level=True)

FAST_CASES = 200
SLOW_CASES = 5000
PROCESSES = 2


def outcomes(first: int, count: int) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("graph_fuzzer.py"))
    done = subprocess.run(
        [sys.executable, script, str(first), str(count)],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(count: int) -> Counter[str]:
    each = count // PROCESSES
    with ThreadPoolExecutor(PROCESSES) as threads:
        parts = threads.map(outcomes, range(0, count, each), [each] * PROCESSES)
        results = [result for part in parts for result in part]
    assert len(results) == count
    legal = ("predicted", "refused", "refused later")
    assert [result for result in results if result["outcome"] not in legal or result["text"]] == []
    return Counter(result["outcome"] for result in results)


def test_graphs_of_odd_operators_are_run_or_refused() -> None:
    assert set(check(FAST_CASES)) == {"predicted", "refused", "refused later"}


@pytest.mark.slow
def test_five_thousand_graphs_of_odd_operators_are_run_or_refused() -> None:
    counts = check(SLOW_CASES)
    print(dict(counts))
    assert counts["predicted"] > SLOW_CASES / 50
