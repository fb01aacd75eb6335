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

# Announced in the documentation, but not in this version.
_PLANNED = {"cohort": "cohort runs are"}


def __getattr__(name: str) -> object:
    if name in _PLANNED:
        raise AttributeError(f"ionmorphnet.{name}: {_PLANNED[name]} not in version {_load('__version__')} yet")
    try:
        return _load(name)
    except AttributeError:
        if name in _names:
            raise
        raise AttributeError(f"module 'ionmorphnet' has no attribute '{name}'") from None
