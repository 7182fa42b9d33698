"""Wire models, problem documents and the table of operations. The lowest layer: imports no other folder."""
