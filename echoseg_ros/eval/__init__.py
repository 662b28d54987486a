"""Benchmarks, evaluation on data sets, metrics and baselines."""
