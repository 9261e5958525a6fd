"""Speed of tagix beside PyTorch: ``python -m benchmarks cpu``."""
