"""How far a download from a hub is, read off the hub's cache while huggingface_hub fills it.

Its progress bars count the same, but how they are fed changes with its releases, and the layout of its cache
does not (https://huggingface.co/docs/huggingface_hub/guides/manage-cache): what has come lies in `blobs`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.25


@contextmanager
def telling(repository: Path, total: int, told: Callable[[int, int], None]) -> Iterator[None]:
    """While the block runs, tell how many of `total` bytes have come into a `repository` of the cache.

    `told` is called when it begins, now and then from another thread, and when all is there; not at all when
    nothing is missing.
    """
    if not total:
        yield
        return
    before, over = _size(repository), threading.Event()

    def tell() -> None:
        told(0, total)
        while not over.wait(EVERY_S):
            # Less, when what an earlier process left is removed; more, when another one fetches too.
            told(min(max(_size(repository) - before, 0), total), total)

    teller = threading.Thread(target=tell, name="telling how far it is")
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
    told(total, total)


def _size(repository: Path) -> int:
    """Bytes of files of `repository`, also of those that are not whole."""
    size = 0
    for path in (repository / "blobs").glob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # it has its final name by now
            continue
    return size
