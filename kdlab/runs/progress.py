"""One progress bar, in a terminal and in a notebook, that leaves one line behind."""

import sys
from typing import Any, Self

from tqdm import tqdm


def in_kernel() -> bool:
    """Tell whether this process is a notebook's kernel (a test runner may load ipykernel too)."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class bar:  # noqa: N801 - used like tqdm
    """Count `total` runs, `stored` of them done before; show the time left.

    A notebook gets one output that is rewritten in place and ends as one line of text: thousands
    of carriage returns, or a widget's state, would stay in the file.
    """

    def __init__(self, total: int, stored: int, title: str) -> None:
        self.title, self.total, self.stored, self.done = title, total, stored, 0
        self.line: Any = None
        if in_kernel():
            from IPython.display import display  # only there is it certain to exist

            self.line = display({"text/plain": f"{title}: starting"}, raw=True, display_id=True)
        self.tqdm = tqdm(
            total=total - stored,
            desc=title,
            unit="run",
            leave=False,
            disable=total == stored,
            file=self if self.line else None,
            ncols=90 if self.line else None,
        )

    def write(self, text: str) -> None:
        """Take what tqdm draws."""
        if text.strip():
            self.line.update({"text/plain": text.strip()}, raw=True)

    def flush(self) -> None:
        """Nothing is held back."""

    def update(self) -> None:
        """Count one finished run."""
        self.done += 1
        self.tqdm.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tqdm.close()
        if self.line:
            stored = f", {self.stored} of them from store" if self.stored else ""
            done = f"{self.title}: {self.stored + self.done} of {self.total} done{stored}"
            self.line.update({"text/plain": done}, raw=True)
