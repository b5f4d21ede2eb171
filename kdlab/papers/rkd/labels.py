"""Where names stand in a picture."""

import numpy as np


def apart(spots: np.ndarray, room: float) -> np.ndarray:
    """Return places (N, 2) near `spots`, no two closer than `room`: names that can be read."""
    moved = spots.astype(float)
    for _ in range(200):
        gaps = moved[:, None] - moved
        far = np.linalg.norm(gaps, axis=2)
        near = (far < room) & ~np.eye(len(moved), dtype=bool)
        if not near.any():
            break
        i, j = np.argwhere(near)[0]
        way = gaps[i, j] / far[i, j] if far[i, j] > 1e-6 * room else np.array([1.0, 0.0])
        step = (0.51 * room - far[i, j] / 2) * way
        moved[i] += step
        moved[j] -= step
    return moved
