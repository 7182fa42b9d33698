"""Benchmarks: ratios in one run against a floor. `docs/performance.md` tells how to repeat them."""
