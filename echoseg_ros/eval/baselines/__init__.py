"""Methods of others that the benchmarks compare with."""
