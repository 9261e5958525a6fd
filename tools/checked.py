"""Whether files are as they were when tools/test.sh --all last passed, by their contents.

    python tools/checked.py GROUP          status 0 if they are, 1 if one differs or is new
    python tools/checked.py --record       writes down what all groups are now

Some tests guard files that change seldom and take long for what they are. The fast test command
leaves them to --all unless these files differ from those that it last passed with, whatever the
history: tools/checked.json has a hash of each group, and is committed with the files.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tools" / "checked.json"

# Of the Python package, what nothing else in it needs.
LABORATORY = ["bench", "cli", "datasets", "lab.py", "metrics", "plotting"]

# What git ls-files lists for these.
GROUPS = {
    # What the tests of formulas compile.
    "formulas": [
        "cpp/math",
        "tests/cpp/test_activations.cpp",
        "tests/cpp/test_activation_slopes.cpp",
        "tests/cpp/test_normal.cpp",
        "tests/cpp/test_scalar.cpp",
        "tests/cpp/*.h",
        "tests/CMakeLists.txt",
    ],
    # What runs under sanitizers.
    "core": [
        "cpp",
        "cuda",
        "tests/cpp",
        "tests/conformance",
        "tests/emulator",
        "third_party",
        "*CMakeLists.txt",
        "CMakePresets.json",
    ],
    # What nvcc compiles, beyond what the emulated device compiles of it.
    "kernels": ["cuda", "cpp/math", "cpp/ops", "cpp/core/*.h", "tools/kernel_resources.py"],
    # What estimators are made of. That the rest of the core gives the recorded bits is for
    # tests/python/test_bits.py to say.
    "estimators": [
        "python/tagix",
        *(f":(exclude)python/tagix/{name}" for name in LABORATORY),
        ":(exclude)python/tagix/reference",
        "cpp/core",
        "cpp/models",
        "cpp/math/leverage.h",
        "cpp/math/piecewise_linear.h",
        "bindings",
        "benchmarks/everyday_tables.py",
        "tests/python/estimators",
        "tests/python/helpers.py",
        "tests/python/recorded_bits.json",
    ],
    # The PyTorch reference, which shares no code with the core, beside closed forms and integrals.
    "reference": ["python/tagix/reference", "tests/python/reference", "tests/python/helpers.py"],
    # What measures, draws and explains: nothing in the library needs it.
    "laboratory": [
        *(f"python/tagix/{name}" for name in LABORATORY),
        "benchmarks",
        "docs",
        "examples",
        "mkdocs.yml",
        "tests/python/laboratory",
        "tools/site_hooks.py",
    ],
}


def digest(group: str) -> str:
    """SHA-256 of the names and contents of the files of a group, as they lie in the work tree."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    listed = subprocess.run(
        [*command, *GROUPS[group]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    total = hashlib.sha256()
    for name in sorted(filter(None, listed.stdout.split("\0"))):
        path = ROOT / name
        if path.is_file():
            total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    return total.hexdigest()


def main() -> None:
    """Compare, or write down."""
    if sys.argv[1:] == ["--record"]:
        RECORD.write_text(json.dumps({name: digest(name) for name in GROUPS}, indent=2) + "\n")
        return
    if len(sys.argv) != 2 or sys.argv[1] not in GROUPS:
        sys.exit(f"usage: checked.py --record, or one of {', '.join(GROUPS)}")
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    sys.exit(0 if recorded.get(sys.argv[1]) == digest(sys.argv[1]) else 1)


if __name__ == "__main__":
    main()
