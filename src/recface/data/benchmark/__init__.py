"""The embedded benchmark: photos of people who do not exist, with true shapes."""

from recface.data.benchmark.generate import get_benchmark
from recface.data.benchmark.store import Benchmark, BenchmarkConfig

__all__ = ["Benchmark", "BenchmarkConfig", "get_benchmark"]
