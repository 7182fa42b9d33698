"""`python server` runs a bare checkout: this folder is a source root, so the package below is importable."""

from evaltasks.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
