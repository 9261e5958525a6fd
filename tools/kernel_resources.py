"""What each CUDA kernel takes of a multiprocessor, as ptxas reported when it was compiled.

Registers (per thread) for each architecture; shared memory (static, per block), stack and spills
(per thread) in bytes at the architecture that needs most. All are maxima over the instances of a
template. A spill makes the status 1: it is memory traffic in what should be registers. Usage:

    python tools/kernel_resources.py build/release [--instances]

Reads every *.ptxas under the build directory; tools/keep_ptxas_report.sh wrote them. --instances
prints a line for each instance of a template and says which arguments it has.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(\w+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """What one function takes when compiled for one architecture.

    Attributes:
        function: Mangled name.
        architecture: Such as "sm_90".
        registers: Per thread; None for a function that kernels call, whose registers are counted
            in theirs.
        shared: Static shared memory per block in bytes; what a launch adds is not known here.
        stack: Bytes per thread, the spilled ones included.
        spills: Bytes stored and loaded per thread because registers ran out.
    """

    function: str
    architecture: str
    registers: int | None
    shared: int
    stack: int
    spills: int


def parse(report: str) -> list[Resources]:
    """The kernels, and functions that they call, in what ptxas -v wrote, in its order."""
    registers: dict[tuple[str, str], int] = {}
    shared: dict[tuple[str, str], int] = {}
    stack: dict[tuple[str, str], tuple[int, int]] = {}
    entry, architecture, function = "", "", ""
    for line in report.splitlines():
        if match := _ENTRY.search(line):
            entry, architecture = match[1], match[2]
        elif match := _PROPERTIES.search(line):
            function = match[1]
        elif match := _STACK.search(line):
            stack[function, architecture] = (int(match[1]), int(match[2]) + int(match[3]))
        elif match := _REGISTERS.search(line):
            registers[entry, architecture] = int(match[1])
            smem = _SHARED.search(line)
            shared[entry, architecture] = int(smem[1]) if smem else 0
    return [
        Resources(*key, registers.get(key), shared.get(key, 0), bytes_of_stack, spills)
        for key, (bytes_of_stack, spills) in stack.items()
    ]


def demangled(names: Iterable[str]) -> dict[str, str]:
    """Declarations of mangled names, by name; the names as they are where c++filt is missing."""
    unique = sorted(set(names))
    filt = shutil.which("c++filt")
    if filt is None or not unique:
        return {name: name for name in unique}
    output = subprocess.run(
        [filt], input="\n".join(unique), capture_output=True, text=True, check=True
    ).stdout
    return dict(zip(unique, output.splitlines(), strict=True))


def split_declaration(declaration: str) -> tuple[str, str]:
    """A function's name without its namespaces, and its template arguments without theirs.

    "void a::f_kernel<b::Exact<b::ReLU> >(float*)" gives ("f_kernel", "Exact<ReLU>").
    """
    text = declaration.replace("(anonymous namespace)", "anonymous")
    depth, opened, end = 0, -1, len(text)
    for i, character in enumerate(text):
        if character == "<":
            if depth == 0:
                opened = i  # the last list before the parameters belongs to the function
            depth += 1
        elif character == ">" and text[i - 1] != "-":
            depth -= 1
        elif character == "(" and depth == 0:
            end = i
            break
    arguments = ""
    if opened >= 0 and text[:end].rstrip().endswith(">"):
        arguments = text[opened + 1 : end].rstrip().removesuffix(">").strip()
        text = text[:opened]
    else:
        text = text[:end]
    return re.split(r"::|\s", text)[-1], re.sub(r"\w+::", "", arguments).replace(" >", ">")


def table(resources: Sequence[Resources], instances: bool) -> list[str]:
    """Lines of a table: a row for each kernel, or for each instance of a template.

    Args:
        resources: All that was parsed.
        instances: Whether instances of a template are told apart.
    """
    declarations = demangled(r.function for r in resources)
    rows: dict[tuple[str, str], list[Resources]] = {}
    for r in resources:
        name, arguments = split_declaration(declarations[r.function])
        rows.setdefault((name, arguments if instances else ""), []).append(r)
    architectures = sorted({r.architecture for r in resources}, key=_architecture_number)
    labels = {key: f"{key[0]}<{key[1]}>" if key[1] else key[0] for key in rows}
    width = max([len(label) for label in labels.values()] + [len("kernel")])
    head = f"{'kernel':{width}}{'instances':>11}"
    head += "".join(f"{name:>8}" for name in architectures)
    lines = [
        f"{'':{width + 11}}{'registers':>{8 * len(architectures)}}{'bytes at most':>36}",
        f"{head}{'shared':>12}{'stack':>12}{'spills':>12}",
    ]
    for key in sorted(rows):
        functions = rows[key]
        line = f"{labels[key]:{width}}{len({r.function for r in functions}):>11}"
        for architecture in architectures:
            counts = [r.registers for r in functions if r.architecture == architecture]
            known = [count for count in counts if count is not None]
            line += f"{max(known) if known else '-':>8}"
        for field in ("shared", "stack", "spills"):
            most = max(functions, key=lambda r: int(getattr(r, field)))
            value = int(getattr(most, field))
            where = f" {most.architecture}" if value and len(architectures) > 1 else ""
            line += f"{f'{value}{where}':>12}"
        lines.append(line)
    return lines


def _architecture_number(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+", name)
    return (int(digits[0]) if digits else 0, name)


def main() -> None:
    """Print the table of one build directory; exit with 1 on a spill or where no report is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path, help="a build directory")
    parser.add_argument("--instances", action="store_true", help="a line for each instance")
    arguments = parser.parse_args()
    paths = sorted(arguments.build.rglob("*.ptxas"))
    resources = [r for path in paths for r in parse(path.read_text(encoding="utf-8"))]
    if not resources:
        sys.exit(f"kernel_resources: got no kernels under {arguments.build}, needed *.ptxas files")
    print("\n".join(table(resources, arguments.instances)))
    spilling = [r for r in resources if r.spills]
    if spilling:
        names = demangled(r.function for r in spilling)
        for r in spilling:
            name, template_arguments = split_declaration(names[r.function])
            label = f"{name}<{template_arguments}>" if template_arguments else name
            print(f"spills {r.spills} bytes at {r.architecture}: {label}", file=sys.stderr)
        sys.exit(f"kernel_resources: {len(spilling)} functions spill registers")


if __name__ == "__main__":
    main()
