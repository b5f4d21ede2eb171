"""The workers of a Dask cluster, as the lab uses them: like a pool of processes."""

from concurrent.futures import Future
from typing import Any


class Cluster:
    """The workers of the Dask scheduler at `address`, used like a pool of processes.

    Raises OSError where nobody answers there.
    """

    def __init__(self, address: str) -> None:
        from distributed import Client  # a heavy import, for few

        self.client = Client(address, timeout=10, set_as_default=False)
        self.processes = max(1, sum(self.client.nthreads().values()))
        self.pool = self.client.get_executor(pure=False)

    def submit(self, *call: Any) -> "Future[Any]":
        """Hand a call to the cluster. It makes it again where it loses the worker."""
        return self.pool.submit(*call)

    def shutdown(self, **_: Any) -> None:
        """Take back what has not begun. What a worker has begun it ends, and that is kept."""
        self.pool.shutdown(wait=False)
        self.client.close(timeout=1)
