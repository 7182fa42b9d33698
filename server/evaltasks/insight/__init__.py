"""Pure logic: validation by task type, and results of task runs."""
