"""Owns the small local model that embeds texts: the table of token vectors that the package `wordllama` carries.

A text's vector is the mean of its tokens' vectors, so it costs microseconds, and needs no download, no network and no
accelerator. Only the package's files are used, by the libraries that wrote their formats: its own loader looks for the
tokenizer in the wrong folder, and would fetch it. Refuses to be imported where semantic classes are not used.
"""

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_router.core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

EXTRA = "pip install 'workflow-router[semantic]'"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


def folder() -> Path | None:
    """Where the package is; None where it is not installed."""
    found = importlib.util.find_spec("wordllama")
    places = None if found is None else found.submodule_search_locations
    return Path(next(iter(places))) if places else None


class LocalModel:
    """Embeds texts; loaded at the first of them."""

    def __init__(self) -> None:
        self._loaded: tuple[Tokenizer, NDArray[np.float16]] | None = None
        self._loading = asyncio.Lock()

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text. Raises InvalidInput where the package is not installed."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(_load)
        tokenizer, table = self._loaded
        return await asyncio.to_thread(_embedded, tokenizer, table, texts)


def _load() -> "tuple[Tokenizer, NDArray[np.float16]]":
    place = folder()
    if place is None:
        raise InvalidInput("The small local model is not installed.", remedy=f"{EXTRA}, or name a `route`.")
    from safetensors.numpy import load_file  # noqa: PLC0415  # pyright: ignore[reportUnknownVariableType]  only who uses semantic classes pays for it, and it says no more than "array"
    from tokenizers import Tokenizer  # noqa: PLC0415  as above

    loaded: dict[str, NDArray[np.float16]] = load_file(place / _WEIGHTS)
    return Tokenizer.from_file(str(place / _TOKENIZER)), loaded["embedding.weight"]


def _embedded(tokenizer: "Tokenizer", table: "NDArray[np.float16]", texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = []
    for text in texts:
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        vectors.append(table[tokens].astype("float32").mean(axis=0).tolist() if tokens else [0.0] * table.shape[1])
    return vectors
