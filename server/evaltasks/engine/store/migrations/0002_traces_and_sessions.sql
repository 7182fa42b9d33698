-- Evaluation of whole traces and sessions: filters, mappings, ledger rows and evaluations.

ALTER TABLE tasks ADD COLUMN query_filters TEXT;
ALTER TABLE task_evaluators ADD COLUMN query_mappings TEXT;

CREATE INDEX spans_by_trace ON spans (project_id, trace_id, start_us);
DROP INDEX spans_by_session;
CREATE INDEX spans_by_session ON spans (project_id, session_id, start_us) WHERE session_id IS NOT NULL;
CREATE INDEX task_run_rows_by_group ON task_run_rows (row_kind, row_id) WHERE row_kind IN ('trace', 'session');

CREATE TABLE group_evaluations (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    row_kind TEXT NOT NULL,
    row_id TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT,
    score REAL,
    explanation TEXT,
    metadata TEXT NOT NULL,
    recorded_us INTEGER NOT NULL,
    PRIMARY KEY (project_id, row_kind, row_id, name)
) WITHOUT ROWID;
