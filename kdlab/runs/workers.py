"""How a worker process of `compare` starts. To load this file, nothing else is imported."""

import gc
import warnings


def prepare() -> None:
    """Import what most runs need.

    Nothing that is imported is garbage, so to look for it only takes time, a fifth of the whole.
    """
    gc.disable()
    import cloudpickle  # noqa: F401
    import pandas  # noqa: F401

    from kdlab.fingerprint import fingerprint  # noqa: F401
    from kdlab.train import fit  # noqa: F401

    gc.enable()


def replace_quietly() -> None:
    """Keep the pool's warning from the reader where it gives a worker's place to a new one.

    The pool does so when a worker has grown by 300 MB, which a few data sets and teachers do. No
    run is lost, and there is nothing that the reader could do.
    """
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
