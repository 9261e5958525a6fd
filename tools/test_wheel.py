"""Install a wheel on a bare system root, and check it there.

    python tools/test_wheel.py WHEEL [WHEEL...]

The root holds the interpreter that runs this with its standard library, the shared libraries that
these and the wheel's dependencies name, and nothing else: no compiler, no C++ headers, no other
package. There it makes an empty environment, installs the wheel into it without a network, and runs
tools/check_installed.py under chroot, or in a user namespace where this is not root. Where neither
is allowed it says so, and an empty environment without variables has to do. Of several wheels it
takes those of its Python. Prints how long installing and importing took.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CHECK = Path(__file__).resolve().parent / "check_installed.py"
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
# Of the standard library, what nothing here imports: the tests alone are 80 MB.
LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "site-packages", "__pycache__", "idlelib", "tkinter"
)


def make_root(root: Path, wheels: list[Path]) -> None:
    """Fill ``root``: the interpreter and, of the shared libraries, what the loader asks for."""
    standard_library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    shutil.copytree(
        standard_library, _inside(root, standard_library), ignore=LEFT_OUT, symlinks=True
    )
    binaries = [PYTHON, *standard_library.glob("lib-dynload/*.so")]
    _copy(PYTHON, root)
    with tempfile.TemporaryDirectory() as folder:
        # What dependencies ask for counts; what tagix asks for has to be among it.
        for wheel in wheels:
            if not wheel.name.startswith("tagix-"):
                shutil.unpack_archive(wheel, Path(folder) / wheel.stem, "zip")
        binaries += Path(folder).rglob("*.so*")
        for library in sorted({path for binary in binaries for path in _libraries(binary)}):
            if not library.is_relative_to(folder):
                _copy(library, root)
    for name in ("tmp", "dev", "wheels"):
        (root / name).mkdir(exist_ok=True)
    for wheel in wheels:
        shutil.copy(wheel, root / "wheels")
    shutil.copy(CHECK, root / CHECK.name)
    (root / "dev" / "null").touch()  # what is written there is not read


def _libraries(binary: Path) -> list[Path]:
    """The shared libraries that the loader finds for a program or library, itself included."""
    result = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    return [Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", result.stdout)]


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _copy(path: Path, root: Path) -> None:
    _inside(root, path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, _inside(root, path))


def enter(root: Path) -> list[str] | None:
    """The start of a command that runs in ``root``, or None where that is not allowed."""
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    for start in ([chroot], ["/usr/bin/unshare", "--user", "--map-root-user", chroot]):
        if all(Path(name).exists() for name in start if name.startswith("/")):
            command = [*start, str(root), str(PYTHON), "-c", "pass"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return [*start, str(root)]
    return None


def run(command: Sequence[str | Path]) -> None:
    """Run a command without an environment, or end with its status."""
    result = subprocess.run(command, env={"LC_ALL": "C.UTF-8", "HOME": "/tmp"}, check=False)
    if result.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def main() -> None:
    """Test the wheel of this Python among those that the command line names."""
    tag = f"-cp3{sys.version_info.minor}-"
    mine = [Path(name).resolve() for name in sys.argv[1:] if tag in name]
    if len(mine) != 1:
        sys.exit(f"got {len(mine)} wheels of {tag}, needed one")
    (wheel,) = mine
    n_bytes = wheel.stat().st_size
    print(f"{wheel.name}: {n_bytes / 1e6:.1f} MB")
    if n_bytes > 15e6:
        sys.exit("it is larger than 15 MB")

    with tempfile.TemporaryDirectory() as folder:
        download = Path(folder) / "wheels"
        run_pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*run_pip, "wheel", "--wheel-dir", download, wheel], check=True)
        wheels = sorted(download.glob("*.whl"))
        print("dependencies:", ", ".join(path.name for path in wheels if path.name != wheel.name))

        root = Path(folder) / "root"
        root.mkdir()
        make_root(root, wheels)
        start = enter(root)
        if start is None:
            print("no chroot is allowed here: an empty environment on this system instead")
            start, root = [], Path("/")
            environment, source, check = Path(folder) / "env", download, CHECK
        else:
            n_files = sum(path.is_file() for path in root.rglob("*"))
            print(f"in a root of {n_files} files")
            environment, source, check = Path("/env"), Path("/wheels"), Path("/", CHECK.name)
        run([*start, PYTHON, "-m", "venv", environment])
        python = environment / "bin" / "python"
        begin = time.perf_counter()
        pip: list[str | Path] = [
            *start,
            python,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run([*pip, "install", "--no-index", "--find-links", source, "tagix"])
        installed = time.perf_counter()
        run([*start, python, "-c", "import tagix"])
        done = time.perf_counter()
        print(f"installed in {installed - begin:.1f} s, first imported in {done - installed:.1f} s")
        run([*start, python, check])


if __name__ == "__main__":
    os.umask(0o022)
    main()
