"""evaltasks: evaluation tasks as tools for LLM agents, against Arize AX or an embedded engine."""

__version__ = "0.1.0"
