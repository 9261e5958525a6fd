"""``tagix doctor``: reports this installation, and what it can use on this machine.

It needs only numpy, so it also works if the command line's packages are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Any

from tagix._optional import import_optional

PRECISIONS = ("float32", "mixed", "bfloat16")
_DEVELOPMENT = ("dev", "docs")  # extras for work on tagix itself


def examine() -> dict[str, Any]:
    """The report as data for JSON.

    Keys: ``tagix``, ``python``, ``platform`` and ``numpy`` (versions); ``processor``, ``cpu`` (the
    instruction set in use, those that could be, precisions, threads), ``cuda`` (built, compiled for
    which architectures, available, why not, device, precisions), ``self_check``, and ``extras``, by
    name, or None if tagix is on the path without being installed. For a part that does not work,
    ``error`` says why.
    """
    import numpy

    import tagix

    return {
        "tagix": {"version": tagix.__version__, "path": os.path.dirname(tagix.__file__)},
        "python": {"version": platform.python_version(), "path": sys.executable},
        "platform": platform.platform(),
        "numpy": numpy.__version__,
        "processor": {"name": processor_name(), "count": os.cpu_count()},
        "cpu": _cpu(),
        "cuda": _cuda(),
        "self_check": self_check(),
        "extras": extras(),
    }


def processor_name() -> str:
    """The processor's model name, or its architecture if the name is unknown."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cpu() -> dict[str, Any]:
    from tagix import _core

    result: dict[str, Any] = {
        "instruction_sets": _core.instruction_sets(),
        "forced": os.environ.get("TAGIX_INSTRUCTION_SET"),
        "threads": _core.get_num_threads(),
    }
    try:
        # "cpu (x86-64-v4, float32)"
        result["instruction_set"] = _core.backend_name("cpu").partition("(")[2].partition(",")[0]
        result["precisions"] = [name for name in PRECISIONS if _core.has_precision(name)]
    except ValueError as error:
        result["error"] = str(error)
    return result


def _cuda() -> dict[str, Any]:
    from tagix import _core, cuda

    result: dict[str, Any] = {
        "built": cuda.is_built(),
        "architectures": cuda.architectures(),
        "available": cuda.is_available(),
        "why_not": cuda.why_not(),
    }
    if result["available"]:
        result["device"] = cuda.device_name()
        result["precisions"] = [name for name in PRECISIONS if _core.has_precision(name, "cuda")]
    return result


def self_check() -> dict[str, Any]:
    """Check that a network learns what exact arithmetic gives: ``ok``, or ``error`` in words.

    One weight w ~ N(m, v), one observation y = w x + e with e ~ N(0, s):

        mean = m + v x (y - m x) / (v x^2 + s),   var = v s / (v x^2 + s)
    """
    import numpy as np

    import tagix as tx

    x, y, noise_var = 2.0, 3.0, 0.25
    try:
        # Of one row, the capped update is the exact posterior.
        net = tx.nn.Sequential(tx.nn.Linear(1, 1, bias=False), seed=0, rule=tx.Capped())
        weight = dict(net.named_parameters())["0.weight"]
        mean, var = float(weight.mean[0, 0]), float(weight.var[0, 0])
        net.update([[x]], [[y]], noise=noise_var)
        weight = dict(net.named_parameters())["0.weight"]
        got = np.array([weight.mean[0, 0], weight.var[0, 0]], dtype=np.float64)
    except (ValueError, RuntimeError) as error:
        return {"ok": False, "error": str(error)}
    total = var * x**2 + noise_var
    needed = np.array([mean + var * x * (y - mean * x) / total, var * noise_var / total])
    if np.allclose(got, needed, rtol=1e-4):
        return {"ok": True}
    return {"ok": False, "error": f"got mean and variance {got}, needed {needed}"}


def extras() -> dict[str, dict[str, Any]] | None:
    """Packages of each extra of the installed distribution.

    By extra: ``packages`` with the version of each (None if it is not installed), ``complete``, and
    ``install``, the command that installs the missing packages.
    """
    try:
        metadata = distribution("tagix")
    except PackageNotFoundError:
        return None
    found: dict[str, dict[str, Any]] = {}
    for extra in metadata.metadata.get_all("Provides-Extra") or []:
        if extra not in _DEVELOPMENT:
            found[extra] = {"packages": {}}
    for requirement in metadata.requires or []:
        of = re.search(r"""extra\s*==\s*["']([^"']+)["']""", requirement)
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if of and name and of[1] in found:
            found[of[1]]["packages"][name[0]] = _version(name[0])
    for extra, entry in found.items():
        entry["complete"] = all(entry["packages"].values())
        entry["install"] = f'pip install "tagix[{extra}]"'
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def report(found: dict[str, Any]) -> str:
    """The report as lines for people."""
    cpu, cuda = found["cpu"], found["cuda"]
    if "error" in cpu:
        instruction_set = f"none: {cpu['error']}"
    else:
        why = "by TAGIX_INSTRUCTION_SET" if cpu["forced"] else "the best"
        instruction_set = (
            f"{cpu['instruction_set']} ({why} of {', '.join(cpu['instruction_sets'])})"
        )
    lines = [
        ("tagix", f"{found['tagix']['version']}, {found['tagix']['path']}"),
        ("python", f"{found['python']['version']}, {found['python']['path']}"),
        ("numpy", found["numpy"]),
        ("platform", found["platform"]),
        ("processor", f"{found['processor']['name']}, {found['processor']['count']} cores"),
        ("instruction set", instruction_set),
        ("precisions", ", ".join(cpu.get("precisions", []))),
        ("threads", str(cpu["threads"])),
        ("CUDA kernels", _kernels(cuda)),
    ]
    if cuda["available"]:
        lines.append(("GPU", f"{cuda['device']} ({', '.join(cuda['precisions'])})"))
    else:
        lines.append(("GPU", f"not used: {cuda['why_not']}"))
    check = found["self_check"]
    lines.append(("self-check", "passed" if check["ok"] else f"failed: {check['error']}"))
    if found["extras"] is None:
        lines.append(("extras", "not known: tagix is on the path, but not installed"))
    for extra, entry in (found["extras"] or {}).items():
        missing = [package for package, got in entry["packages"].items() if got is None]
        state = f"without {', '.join(missing)}: {entry['install']}" if missing else "installed"
        lines.append((f"extra {extra}", state))
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


def _kernels(cuda: dict[str, Any]) -> str:
    if not cuda["built"]:
        return "not in this build"
    machine_code = [name for name in cuda["architectures"] if name.startswith("sm_")]
    ptx = [name for name in cuda["architectures"] if name.startswith("compute_")]
    text = "in this build"
    if machine_code:
        text += f", for {', '.join(machine_code)}"
    if ptx:
        text += f"; other GPUs compile {' or '.join(ptx)} when they first run it"
    return text


def show(as_json: bool) -> None:
    """Print the report, for people or as JSON."""
    found = examine()
    print(json.dumps(found, indent=2) if as_json else report(found))


def add_commands(app: Any) -> None:
    """Add the command to a typer application."""
    typer = import_optional("typer", extra="cli")

    @app.command(name="doctor")  # type: ignore[untyped-decorator]
    def command(
        as_json: bool = typer.Option(False, "--json", help="As JSON, for programs."),
    ) -> None:
        """Report what is installed, and which processor, threads and GPU it uses, or why no GPU."""
        show(as_json)


def main(arguments: list[str] | None = None) -> None:
    """The command without typer."""
    parser = argparse.ArgumentParser(
        prog="tagix doctor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    show(parser.parse_args(arguments).json)
