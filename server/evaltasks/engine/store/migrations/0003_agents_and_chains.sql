-- Agents that experiments call, the agent of an experiment, and the task runs that its completion triggered.

CREATE TABLE agent_integrations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    settings TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
);

ALTER TABLE experiments ADD COLUMN integration_id TEXT;
ALTER TABLE task_runs ADD COLUMN chained_task_run_ids TEXT;
