"""SymPy behind its process wall: right verdicts, killed in time, from threads and after a fork."""

from __future__ import annotations

import os
import threading
import time

import pytest

from eval_tasks.answers import Outcome, judge, limits, symbolic

pytest.importorskip("sympy")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough for SymPy on a busy machine: these tests are about the verdict."""
    monkeypatch.setattr(limits, "WORKER_SECONDS", 30.0)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    ("gold", "prediction", "expected"),
    [
        (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}", True),
        (r"\sum_{k=1}^{n} k", r"\frac{n(n-1)}{2}", False),
        (r"\sum_{k=1}^{\infty} \frac{1}{k^2}", r"\frac{\pi^2}{6}", True),
        (r"\lim_{x\to 0} \frac{\sin x}{x}", "1", True),
        (r"\lim_{x\to 0} \frac{\sin x}{x}", "0", False),
        (r"\int_0^{\infty} e^{-x} dx", "1", True),
        (r"\int 2x dx", "x^2", True),
    ],
)
def test_sympy_settles_limits_infinite_sums_and_symbolic_bounds(gold: str, prediction: str, expected: bool) -> None:
    assert judge(gold, prediction).is_equal == expected


def test_sympy_that_takes_too_long_is_killed_and_the_next_question_is_answered() -> None:
    judge(r"\sum_{k=1}^{n} 1", "n")  # the server runs
    started = time.perf_counter()
    judgement = judge(r"\int \sqrt{x^5+x^3+x+1}\ln(x) dx", "x^2")
    assert judgement.outcome is Outcome.TIMED_OUT
    assert time.perf_counter() - started < 3.0
    assert judge(r"\sum_{k=1}^{n} 1", "n").outcome in (Outcome.EQUAL, Outcome.TIMED_OUT)


@pytest.mark.usefixtures("patience")
def test_sympy_asked_from_several_threads_answers_each() -> None:
    verdicts: dict[int, bool] = {}

    def work(number: int) -> None:
        verdicts[number] = judge(rf"\sum_{{k=1}}^{{n}} {number}", f"{number} n").is_equal

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == dict.fromkeys(range(2, 6), True)


@pytest.mark.usefixtures("patience")
def test_sympy_asked_in_a_forked_child_has_its_own_server() -> None:
    assert judge(r"\sum_{k=1}^{n} 1", "n").is_equal
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        verdict = judge(r"\sum_{k=1}^{n} 2", "2n").is_equal
        symbolic.close()
        os.write(writer, b"1" if verdict else b"0")
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1)
    os.waitpid(child, 0)
    os.close(reader)
    assert answer == b"1"
    assert judge(r"\sum_{k=1}^{n} 3", "3n").is_equal


@pytest.mark.usefixtures("patience")
def test_sympy_server_that_was_killed_is_started_again() -> None:
    assert judge(r"\sum_{k=1}^{n} 1", "n").is_equal
    server = symbolic._server
    assert server is not None
    server.process.kill()
    server.process.wait()
    assert judge(r"\sum_{k=1}^{n} 4", "4n").is_equal


def test_sympy_that_cannot_start_leaves_a_verdict_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    symbolic.close()
    monkeypatch.setattr(symbolic, "_is_missing", True)
    judgement = judge(r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}")
    assert judgement.outcome is Outcome.UNPARSED
    assert "SymPy" in judgement.reason
