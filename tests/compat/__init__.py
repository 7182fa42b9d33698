"""The clients that Arize publishes, driven unchanged over TCP against `evaltasks engine`.

`check.sh` installs them beside the project and runs `python -m tests.compat`; plain pytest runs only `test_table.py`,
which needs neither a network nor the clients. A row of a table is one command or method and what must come of it:
rows do not depend on each other, for `world.py` seeds everything they name.
"""
