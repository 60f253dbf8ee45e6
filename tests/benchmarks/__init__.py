"""
Figures, run by hand: one JSON line each, peers measured in the same run.

    python -m tests.benchmarks.call
    python -m tests.benchmarks.records
    python -m tests.benchmarks.onboarding
    python -m tests.benchmarks.startup
"""
