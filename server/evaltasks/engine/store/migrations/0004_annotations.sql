-- Annotations of rows, annotation configs, and further settings of a space.

ALTER TABLE spaces ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';   -- JSON object

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
