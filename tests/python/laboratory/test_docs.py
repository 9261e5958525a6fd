"""The Python of the documentation runs: every block of a page, in order, in one namespace."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the extra sklearn")

import tagix as tx
from tagix import nn

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "how-to").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_page_has_python() -> None:
    assert len(PAGES) >= 9
    assert all(BLOCK.search(page.read_text(encoding="utf-8")) for page in PAGES)


@pytest.mark.parametrize("module", [tx, nn])
def test_every_public_name_is_in_the_reference(module: types.ModuleType) -> None:
    text = (DOCS / "api" / f"{module.__name__.rpartition('.')[2]}.md").read_text(encoding="utf-8")
    shown = set(re.findall(rf"^::: {re.escape(module.__name__)}\.(\w+)$", text, re.MULTILINE))
    modules = {
        name for name in module.__all__ if isinstance(getattr(module, name), types.ModuleType)
    }
    assert shown == set(module.__all__) - modules - {"__version__"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A module of its own, as pickles and typing look names up in one.
    module = types.ModuleType(f"docs_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        # Lines of errors are those of the page.
        above = text[: block.start(1)].count("\n")
        code = compile("\n" * above + block[1], str(page), "exec")
        exec(code, module.__dict__)
