"""What `import tagix` needs, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys

OPTIONAL = (
    *("torch", "matplotlib", "sklearn", "scipy", "safetensors", "tqdm", "typer", "rich", "ot"),
    *("narwhals", "pandas", "polars"),
)


def run(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_numpy_alone_is_enough() -> None:
    """Every other package fails to import; training, sampling and metrics of numpy still work."""
    program = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in sys.stdlib_module_names and root not in ("numpy", "tagix"):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Block())
import tagix as tx
from tagix import cuda, metrics, nn, plotting
net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1), seed=0)
net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], noise=0.1, n_epochs=1, progress=False)
model = tx.DiffusionModel(2, hidden=(4,), n_steps=4, seed=0)
model.fit([[0.0, 1.0], [1.0, 0.0]], n_epochs=1, progress=False)
assert model.sample(3).x.shape == (3, 2)
assert metrics.ause([0.0, 1.0], [0.5, 0.7], [0.2, 0.1]) == 0.0
"""
    run(program)


def test_import_loads_no_optional_package() -> None:
    program = (
        f"import sys, json, tagix; print(json.dumps([m for m in {OPTIONAL} if m in sys.modules]))"
    )
    assert json.loads(run(program)) == []


def test_import_time() -> None:
    """For the log alone (`pytest -s`): a machine under load may take any time."""
    program = """
import time
import numpy
start = time.perf_counter()
import tagix
print(time.perf_counter() - start)
"""
    seconds = float(run(program))
    print(f"import tagix after numpy: {1e3 * seconds:.0f} ms")


def test_public_names_exist() -> None:
    program = """
import tagix
from tagix import cuda, datasets, metrics, nn, plotting
for module in (tagix, cuda, datasets, metrics, nn, plotting):
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing and len(set(module.__all__)) == len(module.__all__), missing
assert tagix.__version__.count(".") == 2
"""
    run(program)


def test_estimators_without_scikit_learn_name_the_extra() -> None:
    program = """
import sys
sys.modules["sklearn"] = None
try:
    import tagix.sklearn
except ImportError as error:
    print(type(error).__name__, error)
"""
    assert run(program) == (
        'MissingExtraError scikit-learn is not installed: pip install "tagix[sklearn]"\n'
    )


def test_reference_without_torch_names_the_extra() -> None:
    program = """
import sys
sys.modules["torch"] = None
try:
    import tagix.reference
except ImportError as error:
    print(error)
"""
    assert run(program) == 'torch is not installed: pip install "tagix[torch]"\n'
