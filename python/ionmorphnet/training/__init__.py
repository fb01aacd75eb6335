"""Training and export of the ion-image classifier; needs the extra ``[train]`` (torch)."""

from __future__ import annotations
