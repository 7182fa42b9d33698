"""What is found when spans are looked for: in the engine everything at once, in one that is staged less.

AX answers from indexes that lag behind and do not hold every column. An `Index` says what one holds; whoever selects
spans compiles filters through it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_tree
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.filters.syntax import Compare, Filter, In, Junction

_TRACE_ID = "context.trace_id"
# The first parts of the attributes that OpenInference names, but for `metadata`.
_NAMED_ATTRIBUTES = frozenset(
    {
        "agent", "audio", "document", "embedding", "exception", "graph", "image", "input", "llm", "message",
        "openinference", "output", "prompt", "reranker", "retrieval", "session", "tag", "tool", "tool_call", "user",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Index:
    """`upto_us`: spans that came later are not in it yet. `finds_traces`: unless they are asked for by trace id.
    `lacks_custom_columns`: it has neither metadata nor attributes that OpenInference does not name.
    """

    upto_us: int | None = None
    finds_traces: bool = False
    lacks_custom_columns: bool = False

    def exclude_unsettled(self) -> Index:
        return replace(self, upto_us=None)

    def filter(self, text: str | None, *, prefix: str = "f", field: str = "filter") -> CompiledFilter:
        """The spans (alias s) of the index that pass; raises what `compile_filter` does."""
        tree = None if text is None else parse_filter(text, field=field)
        lacks = _is_custom if self.lacks_custom_columns else None
        passed = ALL_ROWS if tree is None else compile_tree(tree, Target.SPAN, prefix=prefix, field=field, lacks=lacks)
        if self.upto_us is None or (self.finds_traces and tree is not None and _names_traces(tree)):
            return passed
        name = f"{prefix}_indexed_us"
        return all_of(passed, CompiledFilter(f"s.ingested_us <= :{name}", {name: self.upto_us}))


WHOLE = Index()


def _is_custom(path: str) -> bool:
    """Of a path inside a span's attributes."""
    return path.partition(".")[0] not in _NAMED_ATTRIBUTES


def _names_traces(tree: Filter) -> bool:
    """True when the filter takes spans of named traces only."""
    match tree:
        case Junction(word="AND", parts=parts):
            return any(_names_traces(part) for part in parts)
        case Junction(parts=parts):
            return all(_names_traces(part) for part in parts)
        case Compare(sign="=") | In():
            return tree.column.path == _TRACE_ID
    return False
