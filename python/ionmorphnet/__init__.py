"""Peak picking for mass spectrometry imaging by the spatial morphology of ion images.

import ionmorphnet as imn
peaks = imn.pick(imn.open("section.imzML"))
peaks.to_frame()

Public names and their modules are listed once, in ``__init__.pyi``; each is loaded on first use.
"""

import lazy_loader

_load, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)

# A star import must not replace the built-in open().
__all__ = [name for name in _names if name not in ("open", "__version__")]


def __getattr__(name: str) -> object:
    try:
        return _load(name)
    except AttributeError:
        if name in _names:
            raise
        raise AttributeError(f"module 'ionmorphnet' has no attribute '{name}'") from None
