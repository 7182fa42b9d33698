"""`python server` runs a bare checkout: this folder is a source root, so the package below is importable."""

from evaltasks.__main__ import start

if __name__ == "__main__":
    raise SystemExit(start())
