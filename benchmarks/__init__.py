"""Speed and quality of tagix beside its opponents: ``python -m benchmarks --help``."""
