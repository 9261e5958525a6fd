"""What a call or a command line asks for, checked: names among known ones, and numbers of seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tagix._arrays import as_count


def chosen(option: str, wanted: Iterable[str], known: Collection[str]) -> list[str]:
    """The wanted names in their order, each once; ValueError for one that is not known."""
    names = list(dict.fromkeys(wanted))
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: got {name!r}, needed some of {', '.join(known)}")
    return names


def chosen_or_all(option: str, wanted: Iterable[str] | None, known: Collection[str]) -> list[str]:
    """The wanted names in the order of the known ones, all of these for None.

    ValueError for none, or for one that is not known.
    """
    names = list(known) if wanted is None else chosen(option, wanted, known)
    if not names:
        raise ValueError(f"{option}: got none, needed one or more")
    return [name for name in known if name in names]


def default_n_seeds(quick: bool) -> int:
    """Models of each kind unless a call says otherwise."""
    return 1 if quick else 3


def seeds_or_default(n_seeds: int | None, quick: bool) -> int:
    """The number of models of each kind; ValueError below 1, TypeError for no integer."""
    return default_n_seeds(quick) if n_seeds is None else as_count("n_seeds", n_seeds, least=1)
