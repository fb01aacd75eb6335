"""Training and export of the ion-image classifier; requires the extra ``[train]`` (torch)."""

from __future__ import annotations
