"""Neural style transfer, and a look into what convolutional networks have learned.

The names below are loaded when first used, so that importing `styler` costs nothing.

Example:
    >>> from styler import load_extractor
    >>> load_extractor("vgg-lite").layers[:3]
    ('conv1_1', 'relu1_1', 'conv1_2')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from styler.config import DreamConfig, TransferConfig
    from styler.dream import DreamResult
    from styler.features import Extractor, load_extractor
    from styler.fields import receptive_field
    from styler.images import Picture, read_picture, write_picture
    from styler.patches.top import top_patches
    from styler.transfer import TransferResult

__version__ = "0.1.0"

_HOMES = {
    "DreamConfig": "styler.config",
    "DreamResult": "styler.dream",
    "Extractor": "styler.features",
    "Picture": "styler.images",
    "TransferConfig": "styler.config",
    "TransferResult": "styler.transfer",
    "load_extractor": "styler.features",
    "read_picture": "styler.images",
    "receptive_field": "styler.fields",
    "top_patches": "styler.patches.top",
    "write_picture": "styler.images",
}

__all__ = [
    "DreamConfig",
    "DreamResult",
    "Extractor",
    "Picture",
    "TransferConfig",
    "TransferResult",
    "__version__",
    "load_extractor",
    "read_picture",
    "receptive_field",
    "top_patches",
    "write_picture",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
