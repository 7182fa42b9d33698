"""The environment as integrations see it: all of it but what is evaltasks' own.

An integration names a variable and an address, and the engine sends the one to the other. The keys of the engine
itself must not be among what can be named: who has one key of an engine could have all others sent to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_OWN = "EVALTASKS_"


class IntegrationEnvironment(Mapping[str, str]):
    """A view, not a copy: a variable that is set later is seen."""

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
