"""Answers like those of the service, without its process."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np


class CannedService:
    """The service's description of a network and its data, not computed."""

    async def start(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """It stays."""

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The last answer."""
        return [answer async for answer in self.stream(op, **fields)][-1]

    async def stream(self, op: str, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """All answers."""
        for answer in getattr(self, "_" + op.replace(".", "_"))(**fields):
            yield answer

    def _data_describe(self, **_: Any) -> Iterator[dict[str, Any]]:
        counts = {"training": [142 + i for i in range(10)], "test": [36 + i % 3 for i in range(10)]}
        names = list("0123456789")
        yield {
            "source": "digits made up",
            "assumptions": [],
            "n_features": 64,
            "image_shape": [8, 8],
            "class_names": names,
            "counts": counts,
        }

    def _data_preview(self, **_: Any) -> Iterator[dict[str, Any]]:
        roles = ["feature", "label"]
        yield {"names": ["a", "b"], "roles": roles, "rows": [["1", "x"]], "assumptions": [], "problem": ""}

    def _data_images(self, start: int, count: int, **_: Any) -> Iterator[dict[str, Any]]:
        numbers = list(range(start, start + count))
        pixels = b"".join(bar(number).tobytes() for number in numbers)
        classes = [number % 10 for number in numbers]
        page = {"shape": [count, 8, 8], "classes": classes, "indices": numbers, "total": 1510}
        yield {"pixels": base64.b64encode(pixels).decode(), **page}

    def _data_download(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield from ({"arrived": arrived} for arrived in (0, 1_000_000, 2_000_000))

    def _explore_save(self, path: str, **_: Any) -> Iterator[dict[str, Any]]:
        yield {"saved": path}

    def _explore_prune(self, sparsity: float, first: int, count: int, **_: Any) -> Iterator[dict[str, Any]]:
        before = [0.9 + i / 100 for i in range(10)]
        yield {
            "network": {
                "sizes": [64, 100, 50, 10],
                "widths": [[64, 100], [100, 50], [50, 10]],
                "classes": list("0123456789"),
                "n_test": 360,
                "has_images": True,
                "device": "cpu",
                "precision": "float32",
                "accuracy": 0.945,
                "loss": 0.2,
                "class_accuracy": before,
            }
        }
        kept = [[round(total * (1 - sparsity)), total] for total in (6400, 5000)]
        pictures = [
            {
                "truth": i % 10,
                "before": i % 10 if i % 5 else 1,
                "after": (i + (i < 12)) % 10,
                "shape": [8, 8],
                "pixels": base64.b64encode(bar(i).tobytes()).decode(),
            }
            for i in range(first, first + count)
        ]
        yield {
            "figures": {
                "sparsity": sparsity,
                "granularity": "weight",
                "achieved_sparsity": sparsity,
                "is_estimate": False,
                "n_samples": 360,
                "accuracy": 0.875,
                "loss": 0.4,
                "class_accuracy": [value - i / 50 for i, value in enumerate(before)],
                "layers": [*kept, [500, 500]],
                "units": [[90, 100], [48, 50], [10, 10]],
                "parameters": 11_900,
                "nonzero": sum(pair[0] for pair in kept) + 500,
                "compression": 3.5,
                "speedup": 3.25,
                "effective_sparsity": sparsity,
                "is_connected": True,
                "dead_units": [0, 0, 0],
                "disconnected_units": [3, 0, 0],
                "emptied_layers": [],
            },
            "gallery": {
                "sparsity": sparsity,
                "n_broken": 25,
                "n_wrong_before": 20,
                "n_right": 315,
                "n_corrected": 3,
                "first": first,
                "pictures": pictures,
            },
        }


def bar(number: int) -> np.ndarray:
    """An image that is a little different for every number; with few edges, for they make pictures large."""
    image = np.zeros((8, 8), dtype=np.uint8)
    image[:, : 2 + number % 5] = 40 * (1 + number % 6)
    return image
