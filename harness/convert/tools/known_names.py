"""Names that an order asks for and a model must have, for the scripts beside this one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def require_known(kind: str, wanted: Collection[str], known: Collection[str]) -> None:
    """End the script with a sentence, its last words on stderr, when one of `wanted` is not in `known`."""
    for name in wanted:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        shown = close or sorted(known)[:10]
        more = "" if close or len(known) <= len(shown) else f" and {len(known) - len(shown)} more"
        hint = "Did you mean" if close else "There are"
        raise SystemExit(f"there is no {kind} {name!r}. {hint} {', '.join(shown) or 'none'}{more}")
