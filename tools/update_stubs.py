"""Write python/tagix/_core.pyi, the types of the compiled core, from its docstrings.

Run it with the package installed after a change of bindings/. With --check it writes nothing and
exits with 1 if the file is not current.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "python" / "tagix" / "_core.pyi"


def current_stub() -> str:
    """The stub of the installed core, as the formatter leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "tagix._core", "-o", folder]
        subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
        text = (Path(folder) / "tagix" / "_core.pyi").read_text(encoding="utf-8")
    for arguments in (["check", "--fix", "--select", "I,UP,E,W", "--ignore", "E501"], ["format"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(STUB), "-"]
        run = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
        if not run.stdout:
            raise RuntimeError(run.stderr)
        text = run.stdout
    return text


def main() -> None:
    """Write the stub, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if it is not current")
    arguments = parser.parse_args()
    stub = current_stub()
    if not arguments.check:
        STUB.write_text(stub, encoding="utf-8")
    elif not STUB.exists() or STUB.read_text(encoding="utf-8") != stub:
        sys.exit(f"{STUB.relative_to(ROOT)} is not current: run python tools/update_stubs.py")


if __name__ == "__main__":
    main()
