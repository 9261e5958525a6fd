"""Check an installed tagix: it imports, learns, saves and loads, and brings its types.

Prints how long the import took, and what ``tagix doctor`` says. Needs nothing but the package.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

HEAVY = ("torch", "matplotlib", "sklearn", "scipy", "pandas", "typer", "rich")


def main() -> None:
    """Raises AssertionError for what is wrong."""
    begin = time.perf_counter()
    import numpy as np

    numpy_seconds = time.perf_counter() - begin
    import tagix as tx

    seconds = time.perf_counter() - begin
    print(f"import tagix: {1e3 * seconds:.0f} ms, of which numpy {1e3 * numpy_seconds:.0f} ms")
    from tagix import nn
    from tagix.cli import doctor

    assert tx.__version__ == version("tagix")
    loaded = [module for module in HEAVY if module in sys.modules]
    assert not loaded, f"import tagix loads {loaded}"

    folder = Path(tx.__file__).parent
    assert (folder / "py.typed").is_file(), "the wheel has no py.typed"
    stub = (folder / "_core.pyi").read_text(encoding="utf-8")
    assert "class Linear(Layer)" in stub, "the wheel has no types of the core"

    generator = np.random.default_rng(0)
    x = generator.uniform(-2, 2, (1000, 1))
    y = np.sin(2 * x) + 0.1 * generator.standard_normal(x.shape)
    net = nn.Sequential(
        nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 1), noise=tx.Heteroscedastic(), seed=0
    )
    net.fit(x, y, n_epochs=30, batch_size=16, progress=False)
    mean = net(x).mean
    error = float(np.mean((mean - np.sin(2 * x)) ** 2))
    assert error < 0.1 * float(np.var(y)), f"the network has not learned: {error}"
    try:
        net(np.zeros((1, 2)))
    except ValueError as refusal:  # exceptions pass from C++ to Python
        assert "got" in str(refusal)
    else:
        raise AssertionError("an input of the wrong shape was taken")
    with tempfile.TemporaryDirectory() as scratch:
        net.save(Path(scratch) / "net.safetensors")
        again = tx.load(Path(scratch) / "net.safetensors")
    assert isinstance(again, nn.Sequential) and (again(x).mean == mean).all()

    found = doctor.examine()
    print(doctor.report(found))
    assert found["self_check"]["ok"], found["self_check"]


if __name__ == "__main__":
    main()
