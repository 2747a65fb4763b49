"""Versions of the code behind results, beside the configuration. Records carry them; tables mark outdated rows."""

BENCHMARK_VERSION = 1
"""Raised whenever the same configuration would give other photos."""

VARIANT_VERSION = 1
"""Raised whenever the same configuration would train another network."""

PROTOCOL_VERSION = 1
"""Raised whenever the same predictions would give other metrics."""

VERSIONS = {"benchmark": BENCHMARK_VERSION, "variant": VARIANT_VERSION, "protocol": PROTOCOL_VERSION}

SCAN_VERSION = 2
"""Raised whenever the same configuration would learn another scan model; in the records of the scan stage alone."""

BASELINES_VERSION = 1
"""Raised whenever the same settings would make a third-party baseline predict otherwise; only those carry it."""

SHAPE_MODEL_VERSION = 1
"""Raised whenever the same scan models would give other numbers in the table sfm_model; in its records alone."""
