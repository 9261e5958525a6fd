"""Check what the extension in a wheel takes from outside it.

    python tools/check_symbols.py WHEEL

Exits with 1 if the extension needs a shared library that a bare system may lack, or a symbol that
has no version and is not Python's: one that was not there when it was linked. Needs readelf.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# With these every program starts; libgcc_s comes with any system that runs numpy.
LIBRARIES = re.compile(r"(lib(c|m|pthread|dl|rt|gcc_s)\.so\.\d+|ld-linux.*\.so\.\d+)$")


def problems(extension: Path) -> list[str]:
    """What the extension needs and should not, in words."""
    found = []
    dynamic = _readelf("--dynamic", extension)
    for library in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not LIBRARIES.match(library):
            found.append(f"it needs the library {library}")
    for line in _readelf("--dyn-syms", extension).splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] == "GLOBAL" and fields[6] == "UND":
            name = fields[7]
            if "@" not in name and not name.startswith(("Py", "_Py")):
                found.append(f"it needs the symbol {name}, of no version")
    return found


def _readelf(option: str, path: Path) -> str:
    command = ["readelf", "--wide", option, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Check the wheel that the command line names."""
    (wheel,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.search(r"/_core\..*so$", name))
        found = problems(Path(archive.extract(name, folder)))
    if found:
        sys.exit(f"{wheel}: " + "; ".join(found))
    print(f"{wheel}: needs nothing that a bare system lacks")


if __name__ == "__main__":
    main()
