"""The constants of the adaptive rate limiter, in virtual time: what a change of one of them does.

    python -m bench.rate_limiter                                    as it is
    python -m bench.rate_limiter _REFUSALS_MIN=15 _PROBE_FACTOR=1.1 each change on its own, beside it

120 combinations of a provider's limit, burst, latency, call slots and Retry-After are run with one seed, so every
result is the same on every machine. docs/decisions/0013-adaptive-rate.md quotes them.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from random import Random

from tests.engine.runs.test_rate_limiter import Played, Provider, play

from evaltasks.engine.runs import rate_limiter

_NUM_COMBINATIONS = 120


def _limited() -> list[tuple[float, float]]:
    """(time as a multiple of the ideal, share of refused calls) of each combination."""
    combinations = list(
        itertools.product((2.0, 10.0, 40.0, 150.0, 300.0), (0.1, 0.5, 1.0), (0.02, 0.1, 0.6), (10, 30, 60), (0.2, 1, 3))
    )
    Random(3).shuffle(combinations)
    results = []
    for rate, seconds_saved, latency, call_slots, retry_after in combinations[:_NUM_COMBINATIONS]:
        rows = int(20 * rate) + call_slots
        provider = Provider(rate=rate, burst=max(5.0, rate * seconds_saved))
        played = play(provider, rows, places=call_slots, latency=latency, retry_after=retry_after)
        results.append((played.seconds / max(rows / rate, rows * latency / call_slots), played.share))
    return results


def _refused_at_random() -> list[Played]:
    return [play(Provider(at_random=0.1, dice=Random(seed)), 2000) for seed in range(20)]


def _line(name: str) -> str:
    times, shares = zip(*_limited(), strict=True)
    random = _refused_at_random()
    outage = statistics.mean(play(Provider(closed_until=seconds), 2000).seconds - seconds for seconds in (3.0, 10.0))
    return (
        f"{name:<34} limit: {statistics.mean(times):.3f} of the ideal time, {statistics.mean(shares):.3f} refused; "
        f"a tenth refused at random: {statistics.mean(played.seconds for played in random):.2f} s, "
        f"{sum(played.rate is not None for played in random)} of {len(random)} with a limit; "
        f"{outage:.1f} s after an outage"
    )


def main() -> None:
    print(_line("as it is"), flush=True)
    for change in sys.argv[1:]:
        name, _, value = change.partition("=")
        before = getattr(rate_limiter, name)
        setattr(rate_limiter, name, float(value))
        print(_line(change), flush=True)
        setattr(rate_limiter, name, before)


if __name__ == "__main__":
    main()
