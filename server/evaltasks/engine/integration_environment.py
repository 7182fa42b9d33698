"""The environment variables that integrations may name: all but those of evaltasks itself.

An integration names a variable and an address, and the engine sends the value of the variable to the address. The
engine's own keys must be hidden: otherwise a client with one key could have the other keys sent to its own address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_OWN = "EVALTASKS_"


class IntegrationEnvironment(Mapping[str, str]):
    """A view of an environment: variables that are set later are visible."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        if name.upper().startswith(_OWN):
            raise KeyError(name)
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._environment if not name.upper().startswith(_OWN))

    def __len__(self) -> int:
        return sum(1 for _ in self)
