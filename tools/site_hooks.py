"""What mkdocs calls while it builds the site: gallery, links out of docs/, names in docstrings.

The gallery shows every script of examples/ with the figures that it draws. They are looked for in
the folder that the environment variable TAGIX_GALLERY names (by default build/gallery), in a folder
for each example; where there is none, the example runs there. The tests of examples leave theirs,
which are smaller, in that folder if the variable is set.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# Roles of Sphinx in docstrings, which editors and help() readers know: the name alone is shown.
ROLE = re.compile(r":(?:class|func|meth|attr|mod|data):<code>~?([^<]*)</code>")


def figures_of(example: Path) -> list[Path]:
    """The figures of an example, which runs if there are none yet."""
    folder = Path(os.environ.get("TAGIX_GALLERY") or ROOT / "build" / "gallery") / example.stem
    if not list(folder.rglob("*.png")):
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "TQDM_DISABLE": "1"}
        subprocess.run([sys.executable, example], check=True, cwd=folder, env=environment)
    figures = sorted(folder.rglob("*.png"))
    if not figures:
        raise RuntimeError(f"{example.name} has drawn no figure")
    return figures


def on_files(files: Files, config: Any) -> Files:
    """Add the gallery's page and figures."""
    page = ["# Gallery", "Each of these is a script of `examples/`, and drawn by it."]
    for example in EXAMPLES:
        source = example.read_text(encoding="utf-8")
        title, _, text = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")
        page += [f"## {title.rstrip('.')} {{ #{example.stem} }}", text.replace("``", "`")]
        for figure in figures_of(example):
            uri = f"gallery/{figure.name}"
            files.append(File.generated(config, uri, abs_src_path=str(figure)))
            page.append(f"![{figure.stem.replace('_', ' ')}]({uri})")
        page.append(f'??? example "examples/{example.name}"\n')
        page.append("\n".join(f"    {line}" for line in ("```python", *source.splitlines(), "```")))
    files.append(File.generated(config, "gallery.md", content="\n\n".join(page) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of docs/: examples are in the gallery, other files keep their name alone."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+examples/(\w+)\.py\)", rf"]({up}gallery.md#\1)", markdown)
    return re.sub(
        r"\[([^\]]*)\]\((?:\.\./)+(?!gallery)((?:python|cpp|cuda|tests|tools|benchmarks)/[^)]*)\)",
        r"\1 (`\2`)",
        markdown,
    )


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Names in docstrings without the roles around them."""
    return ROLE.sub(r"<code>\1</code>", html)
