# The native module is described where it is used: the facades give its results their types.
from typing import Any

__version__: str

def __getattr__(name: str) -> Any: ...
