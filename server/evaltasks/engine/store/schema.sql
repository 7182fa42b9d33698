-- The store: one SQLite file. Times are microseconds since 1970 UTC (…_us); JSON is text.
-- `seq` is the order of creation; "newest first" means `seq DESC`.

CREATE TABLE spaces (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    is_private INTEGER NOT NULL DEFAULT 0,
    created_us INTEGER NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}'   -- JSON object: further fields of the wire model
);

CREATE TABLE projects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    project_type TEXT NOT NULL DEFAULT 'APPLICATION',
    created_us INTEGER NOT NULL,
    UNIQUE (space_id, name)
);

-- `seq` increases with every new span; a continuous task stores the last one it has taken.
CREATE TABLE spans (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status_code TEXT NOT NULL,
    status_message TEXT,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    latency_ms REAL NOT NULL,
    session_id TEXT,
    attributes TEXT NOT NULL,   -- JSON object of flat dotted keys, without the "attributes." prefix
    events TEXT NOT NULL,       -- JSON array of {name, timestamp, attributes}
    ingested_us INTEGER NOT NULL,
    UNIQUE (project_id, trace_id, span_id)
);
CREATE INDEX spans_by_time ON spans (project_id, start_us DESC, trace_id, span_id);
CREATE INDEX spans_by_kind ON spans (project_id, kind, start_us DESC);
CREATE INDEX spans_by_span_id ON spans (project_id, span_id);
-- The first span of a trace or session is one index lookup.
CREATE INDEX spans_by_trace ON spans (project_id, trace_id, start_us);
CREATE INDEX spans_by_session ON spans (project_id, session_id, start_us) WHERE session_id IS NOT NULL;

CREATE TABLE datasets (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    UNIQUE (space_id, name)
);

CREATE TABLE dataset_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
);
CREATE INDEX dataset_versions_by_dataset ON dataset_versions (dataset_id, seq DESC);

-- A new version copies the rows; a row keeps its `id` in all versions.
CREATE TABLE examples (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    version_id TEXT NOT NULL REFERENCES dataset_versions (id) ON DELETE CASCADE,
    columns TEXT NOT NULL,      -- JSON object: the user's columns
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    UNIQUE (version_id, id)
);

CREATE TABLE experiments (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    dataset_id TEXT REFERENCES datasets (id) ON DELETE CASCADE,
    dataset_version_id TEXT REFERENCES dataset_versions (id) ON DELETE SET NULL,
    name TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    integration_id TEXT         -- the agent that was called
);
CREATE UNIQUE INDEX experiments_by_dataset_name ON experiments (dataset_id, name) WHERE dataset_id IS NOT NULL;
CREATE UNIQUE INDEX experiments_by_space_name ON experiments (space_id, name) WHERE dataset_id IS NULL;

CREATE TABLE experiment_runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    example_id TEXT,
    output TEXT,
    error TEXT,
    columns TEXT NOT NULL,      -- JSON object: further columns of the row
    created_us INTEGER NOT NULL
);
CREATE INDEX experiment_runs_by_experiment ON experiment_runs (experiment_id, seq);

CREATE TABLE evaluators (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    description TEXT,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    UNIQUE (space_id, name)
);

CREATE TABLE evaluator_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    evaluator_id TEXT NOT NULL REFERENCES evaluators (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    commit_hash TEXT NOT NULL,
    commit_message TEXT,
    config TEXT NOT NULL,       -- JSON object {"template_config" | "code_config": …}
    created_us INTEGER NOT NULL
);
CREATE INDEX evaluator_versions_by_evaluator ON evaluator_versions (evaluator_id, seq DESC);

-- Keys are never stored: only the name of the environment variable that holds one.
CREATE TABLE ai_integrations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    settings TEXT NOT NULL,     -- JSON object: all fields of the wire model but id, name, provider and times
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
);

-- Agents that run_experiment tasks call. Keys are never stored, only the names of environment variables.
CREATE TABLE agent_integrations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    settings TEXT NOT NULL,     -- JSON object {"scopings": […], "config": {…}} of the wire model
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
);

CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    dataset_id TEXT REFERENCES datasets (id) ON DELETE CASCADE,
    is_continuous INTEGER NOT NULL DEFAULT 0,
    sampling_rate REAL,
    query_filter TEXT,
    experiment_ids TEXT NOT NULL DEFAULT '[]',
    run_configuration TEXT,
    continuous_after_seq INTEGER,   -- spans up to this seq are taken, or older than the task's continuous mode
    last_run_us INTEGER,
    created_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    query_filters TEXT,         -- JSON object {"filters", "expression"}: the trace and session shape of query_filter
    UNIQUE (space_id, name)
);

CREATE TABLE task_evaluators (
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    evaluator_id TEXT NOT NULL REFERENCES evaluators (id),
    evaluator_version_id TEXT REFERENCES evaluator_versions (id) ON DELETE SET NULL,
    query_filter TEXT,
    column_mappings TEXT,
    query_mappings TEXT,        -- JSON array: the trace and session shape of column_mappings
    PRIMARY KEY (task_id, position)
);
CREATE INDEX task_evaluators_by_evaluator ON task_evaluators (evaluator_id);

-- A task run is claimed by one owner under a lease; any process may take it over when the lease has expired.
CREATE TABLE task_runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    options TEXT NOT NULL,      -- JSON object: the trigger's body
    plan TEXT,                  -- JSON object: evaluators or run configuration as they were when the rows were selected
    data_start_us INTEGER,
    data_end_us INTEGER,
    after_span_seq INTEGER,     -- a continuous task run takes spans with after_span_seq < seq <= upto_span_seq
    upto_span_seq INTEGER,
    experiment_id TEXT,
    num_selected INTEGER,       -- NULL until the rows are selected
    num_successes INTEGER NOT NULL DEFAULT 0,
    num_errors INTEGER NOT NULL DEFAULT 0,
    num_skipped INTEGER NOT NULL DEFAULT 0,
    failure_reason TEXT,
    owner TEXT,
    lease_until_us INTEGER,
    started_us INTEGER,
    finished_us INTEGER,
    created_us INTEGER NOT NULL,
    chained_task_run_ids TEXT   -- JSON array: task runs triggered when the experiment was completed
);
CREATE INDEX task_runs_by_task ON task_runs (task_id, seq DESC);
CREATE INDEX task_runs_unfinished ON task_runs (status, lease_until_us) WHERE status IN ('PENDING', 'RUNNING');

-- The ledger: one row for every (row, evaluator) of a task run, inserted as WAITING when the rows are selected.
-- The counts of task_runs are updated in the same transaction as an outcome.
CREATE TABLE task_run_rows (
    task_run_seq INTEGER NOT NULL REFERENCES task_runs (seq) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    row_kind TEXT NOT NULL,     -- span | trace | session | experiment_run | example
    row_seq INTEGER NOT NULL,   -- spans.seq (a trace's or session's first span), experiment_runs.seq or examples.seq
    row_id TEXT NOT NULL,
    trace_id TEXT,
    evaluator_id TEXT,
    evaluator_version_id TEXT,
    evaluation_name TEXT,
    outcome TEXT NOT NULL DEFAULT 'WAITING',
    label TEXT,
    score REAL,
    explanation TEXT,
    reason TEXT,                -- text of this program, so that rows can be grouped by it
    detail TEXT,                -- text of a provider or judge: untrusted
    provenance TEXT,            -- JSON object
    recorded_us INTEGER,
    PRIMARY KEY (task_run_seq, position)
) WITHOUT ROWID;
CREATE INDEX task_run_rows_by_outcome ON task_run_rows (task_run_seq, outcome, position);
-- For continuous tasks: was a trace or session evaluated before?
CREATE INDEX task_run_rows_by_group ON task_run_rows (row_kind, row_id) WHERE row_kind IN ('trace', 'session');

-- The newest evaluation of each name on a row.
CREATE TABLE evaluations (
    row_kind TEXT NOT NULL,     -- span | experiment_run
    row_seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    label TEXT,
    score REAL,
    explanation TEXT,
    metadata TEXT NOT NULL,     -- JSON object: task_id, task_run_id, evaluator_version_id and provenance
    recorded_us INTEGER NOT NULL,
    PRIMARY KEY (row_kind, row_seq, name)
) WITHOUT ROWID;

-- The same for traces and sessions, which have no row of their own and are identified by project and id.
CREATE TABLE group_evaluations (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    row_kind TEXT NOT NULL,     -- trace | session
    row_id TEXT NOT NULL,       -- the trace id or the session id
    name TEXT NOT NULL,
    label TEXT,
    score REAL,
    explanation TEXT,
    metadata TEXT NOT NULL,
    recorded_us INTEGER NOT NULL,
    PRIMARY KEY (project_id, row_kind, row_id, name)
) WITHOUT ROWID;

CREATE TRIGGER spans_take_evaluations AFTER DELETE ON spans BEGIN
    DELETE FROM evaluations WHERE row_kind = 'span' AND row_seq = old.seq;
END;
CREATE TRIGGER experiment_runs_take_evaluations AFTER DELETE ON experiment_runs BEGIN
    DELETE FROM evaluations WHERE row_kind = 'experiment_run' AND row_seq = old.seq;
END;

-- The names that annotations of a space may have. `settings` is a JSON object with the fields of the type.
CREATE TABLE annotation_configs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    space_id TEXT NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (space_id, name)
);

-- Annotations by people. Traces and sessions are annotated on their root span.
CREATE TABLE annotations (
    row_kind TEXT NOT NULL,     -- span | trace | session | example | experiment_run
    row_seq INTEGER NOT NULL,   -- spans.seq, examples.seq or experiment_runs.seq
    name TEXT NOT NULL,
    label TEXT,
    score REAL,
    text TEXT,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (row_kind, row_seq, name)
) WITHOUT ROWID;

CREATE TRIGGER spans_take_annotations AFTER DELETE ON spans BEGIN
    DELETE FROM annotations WHERE row_kind IN ('span', 'trace', 'session') AND row_seq = old.seq;
END;
CREATE TRIGGER examples_take_annotations AFTER DELETE ON examples BEGIN
    DELETE FROM annotations WHERE row_kind = 'example' AND row_seq = old.seq;
END;
CREATE TRIGGER experiment_runs_take_annotations AFTER DELETE ON experiment_runs BEGIN
    DELETE FROM annotations WHERE row_kind = 'experiment_run' AND row_seq = old.seq;
END;
