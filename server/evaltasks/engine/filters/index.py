"""Which spans a search finds: all of them, or fewer with injected faults.

AX answers from indexes that lag behind and lack some columns. An `Index` describes what one contains; every selection
of spans compiles its filter through it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from evaltasks.engine.filters.compile import ALL_ROWS, CompiledFilter, Target, all_of, compile_tree
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.filters.syntax import Compare, Filter, In, Junction

_TRACE_ID = "context.trace_id"
# The first segments of the attributes that OpenInference defines, except `metadata`.
_NAMED_ATTRIBUTES = frozenset(
    {
        "agent", "audio", "document", "embedding", "exception", "graph", "image", "input", "llm", "message",
        "openinference", "output", "prompt", "reranker", "retrieval", "session", "tag", "tool", "tool_call", "user",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Index:
    """What an index of spans contains.

    Attributes:
        upto_us: Spans that were stored later are not in it yet; None if it does not lag.
        finds_traces: Whether filters on trace ids find later spans anyway.
        lacks_custom_columns: Whether it lacks metadata and the attributes that OpenInference does not define.
    """

    upto_us: int | None = None
    finds_traces: bool = False
    lacks_custom_columns: bool = False

    def ignore_lag(self) -> Index:
        """Return this index without its lag."""
        return replace(self, upto_us=None)

    def filter(self, text: str | None, *, prefix: str = "f", field: str = "filter") -> CompiledFilter:
        """Compile a filter on the spans (alias `s`) of the index.

        Raises:
            BadRequest: If the text is blank.
            Unprocessable: As `compile_filter`.
        """
        tree = None if text is None else parse_filter(text, field=field)
        lacks = _is_custom if self.lacks_custom_columns else None
        passed = ALL_ROWS if tree is None else compile_tree(tree, Target.SPAN, prefix=prefix, field=field, lacks=lacks)
        if self.upto_us is None or (self.finds_traces and tree is not None and _names_traces(tree)):
            return passed
        name = f"{prefix}_indexed_us"
        return all_of(passed, CompiledFilter(f"s.ingested_us <= :{name}", {name: self.upto_us}))


WHOLE = Index()


def _is_custom(path: str) -> bool:
    """Whether a path inside a span's attributes is not defined by OpenInference."""
    return path.partition(".")[0] not in _NAMED_ATTRIBUTES


def _names_traces(tree: Filter) -> bool:
    """Whether the filter selects spans of named traces only."""
    match tree:
        case Junction(word="AND", parts=parts):
            return any(_names_traces(part) for part in parts)
        case Junction(parts=parts):
            return all(_names_traces(part) for part in parts)
        case Compare(sign="=") | In():
            return tree.column.path == _TRACE_ID
    return False
