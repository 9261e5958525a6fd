"""Read the machine code of the matrix kernels: no inner loop may keep its sums in memory.

A register tile that does not fit the registers, or that the compiler cannot take apart, leaves its
sums on the stack: the results stay right and the speed halves. Products may not touch the stack at
all; the updates of bursts of one and two rows, which may have more factors than registers, may
read them there, and those of more rows, which have more sums, are not looked at. Usage:

    python tools/check_hot_loops.py build/release

Needs objdump. Looks at each x86-64 instruction set that has fused multiply-adds, and prints a line
for each kernel.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_KERNELS = {  # by what is in their mangled names
    "product_tile": "product_tile",
    "dot_rows": "dot_rows",
    "outer_tile": "outer_tile",
    "affine_row": "affine_rows",
    "affine_burst": "affine_burst",
    "update_burst_ofILi1E": "update_burst_1",
    "update_burst_ofILi2E": "update_burst_2",
}
_READS_FACTORS = ("update_burst_1", "update_burst_2")  # from the stack
_MULTIPLY_ADDS = ("fmadd", "dpbf16")
_LEAST_MULTIPLY_ADDS = 8  # in a loop that counts as one of a register tile
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
# A vector register beside an address on the stack; row pointers may well be kept there. Without a
# frame, %rbp is one more row pointer.
_STACK = re.compile(r"%rsp.*%[xyz]mm|%[xyz]mm.*%rsp")
_FRAME = re.compile(r"%rbp.*%[xyz]mm|%[xyz]mm.*%rbp")
_WRITE = re.compile(r"%[xyz]mm\d+,[^%]*\(%r[sb]p")
_INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$")


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly."""

    address: int
    name: str
    operands: str


@dataclass(frozen=True)
class Loop:
    """An inner loop: no jump back lies within it. n_stack_accesses counts those not allowed."""

    function: str
    n_multiply_adds: int
    n_instructions: int
    n_stack_accesses: int


def inner_loops(disassembly: str) -> list[Loop]:
    """The inner loops of the kernels in the output of objdump -d, most multiply-adds first."""
    functions: dict[str, list[Instruction]] = {}
    for line in disassembly.splitlines():
        if match := _FUNCTION.match(line):
            current = functions.setdefault(match[1], [])
        elif match := _INSTRUCTION.match(line):
            current.append(Instruction(int(match[1], 16), match[2], match[3]))
    loops = []
    for name, code in functions.items():
        kernel = next((kernel for part, kernel in _KERNELS.items() if part in name), None)
        if kernel is None:
            continue
        has_frame = any(i.name == "mov" and i.operands == "%rsp,%rbp" for i in code)
        position = {instruction.address: i for i, instruction in enumerate(code)}
        back = []
        for i, instruction in enumerate(code):
            target = re.match(r"[0-9a-f]+", instruction.operands)
            if instruction.name.startswith("j") and target is not None:
                start = position.get(int(target[0], 16), i + 1)
                if start <= i:
                    back.append((start, i))
        for start, end in back:
            if any((s, e) != (start, end) and start <= s and e <= end for s, e in back):
                continue
            body = code[start : end + 1]
            n_multiply_adds = sum(
                any(name in instruction.name for name in _MULTIPLY_ADDS) for instruction in body
            )
            if n_multiply_adds >= _LEAST_MULTIPLY_ADDS:
                on_stack = [
                    i.operands
                    for i in body
                    if _STACK.search(i.operands) or (has_frame and _FRAME.search(i.operands))
                ]
                if kernel in _READS_FACTORS:
                    on_stack = [operands for operands in on_stack if _WRITE.search(operands)]
                loops.append(Loop(kernel, n_multiply_adds, len(body), len(on_stack)))
    return sorted(loops, key=lambda loop: (loop.function, -loop.n_multiply_adds))


def main() -> None:
    """Check the objects of one build directory; exit with 1 if an inner loop spills."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    objdump = shutil.which("objdump")
    if objdump is None:
        sys.exit("check_hot_loops: objdump was not found, needed binutils")
    objects = sorted(Path(sys.argv[1]).glob("cpp/CMakeFiles/tagix_kernels_*/cpu/kernels.cpp.o"))
    if not objects:
        sys.exit(f"check_hot_loops: got no kernels under {sys.argv[1]}, needed a build")
    n_spilling = 0
    for path in objects:
        name = path.parts[-3].removesuffix(".dir")
        command = [objdump, "-d", "--no-show-raw-insn", str(path)]
        loops = inner_loops(subprocess.run(command, capture_output=True, text=True).stdout)
        n_spilling += sum(loop.n_stack_accesses > 0 for loop in loops)
        for kernel in _KERNELS.values():
            own = [loop for loop in loops if loop.function == kernel]
            if not own:
                continue
            largest, worst = own[0], max(loop.n_stack_accesses for loop in own)
            print(
                f"{name:30}{kernel:16}{len(own):4} inner loops, the largest with"
                f"{largest.n_multiply_adds:4} multiply-adds in{largest.n_instructions:4}"
                f" instructions; on the stack at most {worst}"
            )
    if n_spilling:
        sys.exit(f"check_hot_loops: {n_spilling} inner loops keep values on the stack")


if __name__ == "__main__":
    main()
