"""How a worker process of `compare` starts. To load this file, nothing else is imported."""

import gc


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
