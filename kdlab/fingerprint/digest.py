"""Hashes of texts and buffers, and what an object is split into."""

import hashlib
from typing import Any

Parts = tuple[str, list[tuple[str, Any]]]  # own text, and (name or "", value) of what it holds


def sha(*parts: Any) -> bytes:
    """Hash texts and buffers; each is hashed alone first, so that no two lists of parts agree."""
    raw = (part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in raw)).digest()


class OpaqueError(Exception):
    """An object has no content that could be compared."""
