"""Benchmarks: ratios in one run against a floor. `docs/performance.md` says how to repeat them."""
