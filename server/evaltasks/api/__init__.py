"""The ground: wire models, problem documents and the table of operations. Imports nothing of ours."""
