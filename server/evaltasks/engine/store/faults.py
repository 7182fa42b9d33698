"""What a store says when it cannot be used."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used; the text says why and what to do."""
