-- name: page
SELECT * FROM task_run_rows
WHERE task_run_seq = :seq AND position > :after
    AND (:outcome IS NULL OR outcome = :outcome)
    AND (:evaluator_id IS NULL OR evaluator_id = :evaluator_id)
ORDER BY position LIMIT :limit;

-- name: outcome_counts
SELECT outcome, reason, count(*) AS n FROM task_run_rows
WHERE task_run_seq = :seq GROUP BY outcome, reason ORDER BY n DESC, reason;

-- name: discard_rows
DELETE FROM task_run_rows WHERE task_run_seq = :seq;

-- part: spans_of_window
-- For select_spans: the window of a task run.
s.project_id = :project_id AND s.start_us BETWEEN :first_us AND :last_us;

-- part: new_spans
-- For select_spans: the new spans of a continuous task. The unary plus keeps SQLite from scanning the project.
+s.project_id = :project_id AND s.seq > :after_seq AND s.seq <= :upto_seq;

-- name: select_spans
-- The newest spans that pass the task's filter and at least one evaluator's filter, as one JSON array of
-- [place, seq, row id, trace id, marks]; the marks are a text with a 1 or 0 for each evaluator. Slots: <rows> is one of
-- the parts above; <task_filter>, <any_fit> and <fits> (one column per evaluator) are compiled filters over the alias
-- s; <marks> joins those columns. It is one statement, so that a task run sees one state of the store. It scans the
-- spans from the newest on and stops when it has enough.
SELECT json_group_array(json_array(place, seq, span_id, trace_id, {marks})) AS chosen
FROM (
    SELECT picked.*, row_number() OVER (ORDER BY picked.start_us DESC, picked.trace_id, picked.span_id) AS place
    FROM (
        SELECT s.seq, s.span_id, s.trace_id, s.start_us, {fits}
        FROM spans AS s
        WHERE {rows}
            AND (:sampling_rate IS NULL OR is_sampled(:task_id, s.trace_id || '/' || s.span_id, :sampling_rate))
            AND ({task_filter}) AND ({any_fit})
        ORDER BY s.start_us DESC, s.trace_id, s.span_id
        LIMIT :rows_max
    ) AS picked
);

-- name: select_experiment_runs
-- As select_spans, for the experiment runs (alias r) of the experiments in the JSON array :experiment_ids.
SELECT json_group_array(json_array(place, seq, id, NULL, {marks})) AS chosen
FROM (
    SELECT picked.*, row_number() OVER (ORDER BY picked.seq DESC) AS place
    FROM (
        SELECT r.seq, r.id, {fits}
        FROM experiment_runs AS r
        WHERE r.experiment_id IN (SELECT value FROM json_each(:experiment_ids))
            AND ({task_filter}) AND ({any_fit})
        ORDER BY r.seq DESC
        LIMIT :rows_max
    ) AS picked
);

-- part: row_is_labelled
-- For insert_selected: a span or an experiment run has the evaluation already.
EXISTS (
    SELECT 1 FROM evaluations
    WHERE evaluations.row_kind = :row_kind AND evaluations.row_seq = lines.row_seq
        AND evaluations.name = lines.evaluation_name
);

-- part: lines_of_evaluator
-- For insert_selected: the chosen rows that pass the filter of one evaluator. Slots: <nth> is the index of the
-- evaluator, <mark> the position of its mark, counted from 1.
SELECT
    place, {nth} AS nth, row_seq, row_id, trace_id, :evaluator_{nth} AS evaluator_id,
    :version_{nth} AS evaluator_version_id, :name_{nth} AS evaluation_name
FROM chosen WHERE substr(marks, {mark}, 1) = '1';

-- name: insert_selected
-- Adds a ledger row for each chosen row and each evaluator whose filter it passes. Slots: <lines> is lines_of_evaluator
-- for each evaluator, joined by UNION ALL; <labelled> and <is_open> are parts: the row has the evaluation already, and
-- this task run may evaluate the row.
WITH chosen AS MATERIALIZED (
    SELECT
        json_extract(one.value, '$[0]') AS place, json_extract(one.value, '$[1]') AS row_seq,
        json_extract(one.value, '$[2]') AS row_id, json_extract(one.value, '$[3]') AS trace_id,
        json_extract(one.value, '$[4]') AS marks
    FROM json_each(:chosen) AS one
),
lines AS ({lines})
INSERT INTO task_run_rows (
    task_run_seq, position, row_kind, row_seq, row_id, trace_id, evaluator_id, evaluator_version_id,
    evaluation_name, outcome, reason, recorded_us
)
SELECT
    :seq, row_number() OVER (ORDER BY lines.place, lines.nth) - 1, :row_kind, lines.row_seq, lines.row_id,
    lines.trace_id, lines.evaluator_id, lines.evaluator_version_id, lines.evaluation_name,
    iif(labelled, 'SKIPPED', 'WAITING'), iif(labelled, :already_labelled, NULL), iif(labelled, :now_us, NULL)
FROM (SELECT lines.*, NOT :override AND {labelled} AS labelled FROM lines) AS lines
WHERE {is_open};

-- name: insert_examples
-- Adds a ledger row for each example (alias x) of a version that passes <filter>: those of the JSON array
-- :example_ids, or all if it is NULL.
INSERT INTO task_run_rows (task_run_seq, position, row_kind, row_seq, row_id)
SELECT :seq, row_number() OVER (ORDER BY x.seq) - 1, 'example', x.seq, x.id
FROM examples AS x
WHERE x.version_id = :version_id
    AND (:example_ids IS NULL OR x.id IN (SELECT value FROM json_each(:example_ids)))
    AND ({filter})
ORDER BY x.seq LIMIT :rows_max;

-- name: span_bounds
SELECT min(spans.start_us) AS first_us, max(spans.start_us) AS last_us
FROM task_run_rows JOIN spans ON spans.seq = task_run_rows.row_seq
WHERE task_run_rows.task_run_seq = :seq;

-- name: pending_spans
-- The next ledger rows to process, each with its span. The columns are NULL if the span was deleted.
SELECT
    l.position, l.row_kind, l.row_seq, l.evaluator_id, l.evaluator_version_id, l.evaluation_name, l.row_id,
    s.seq AS found, s.trace_id, s.span_id, s.parent_id, s.name, s.kind, s.status_code, s.status_message,
    s.start_us, s.end_us, s.latency_ms, s.attributes, s.events
FROM task_run_rows AS l LEFT JOIN spans AS s ON s.seq = l.row_seq
WHERE l.task_run_seq = :seq AND l.position > :after AND l.outcome = 'WAITING'
ORDER BY l.position LIMIT :limit;

-- name: pending_experiment_runs
-- As pending_spans, also with the example in the version of the dataset that the experiment was made on.
SELECT
    l.position, l.row_kind, l.row_seq, l.evaluator_id, l.evaluator_version_id, l.evaluation_name, l.row_id,
    r.seq AS found, r.id, r.example_id, r.output, r.error, r.columns, (
        SELECT x.columns FROM examples AS x
        WHERE x.version_id = e.dataset_version_id AND x.id = r.example_id
    ) AS example_columns
FROM task_run_rows AS l
LEFT JOIN experiment_runs AS r ON r.seq = l.row_seq
LEFT JOIN experiments AS e ON e.id = r.experiment_id
WHERE l.task_run_seq = :seq AND l.position > :after AND l.outcome = 'WAITING'
ORDER BY l.position LIMIT :limit;

-- name: pending_examples
SELECT
    l.position, l.row_kind, l.row_seq, l.evaluator_id, l.evaluator_version_id, l.evaluation_name, l.row_id,
    x.seq AS found, x.id, x.columns
FROM task_run_rows AS l LEFT JOIN examples AS x ON x.seq = l.row_seq
WHERE l.task_run_seq = :seq AND l.position > :after AND l.outcome = 'WAITING'
ORDER BY l.position LIMIT :limit;

-- name: evaluations_of_rows
-- The evaluations on the rows of the JSON array :row_seqs, for mappings that read `eval.…` columns.
SELECT row_seq, name, label, score, explanation FROM evaluations
WHERE row_kind = :row_kind AND row_seq IN (SELECT value FROM json_each(:row_seqs));

-- name: record
-- Only from WAITING, so that an outcome is recorded once.
UPDATE task_run_rows SET
    outcome = :outcome, label = :label, score = :score, explanation = :explanation, reason = :reason,
    detail = :detail, provenance = :provenance, recorded_us = :now_us
WHERE task_run_seq = :seq AND position = :position AND outcome = 'WAITING';

-- name: put_span_evaluation
-- Writes nothing if the span was deleted in the meantime.
INSERT INTO evaluations (row_kind, row_seq, name, label, score, explanation, metadata, recorded_us)
SELECT 'span', :row_seq, :name, :label, :score, :explanation, :metadata, :now_us
WHERE EXISTS (SELECT 1 FROM spans WHERE spans.seq = :row_seq)
ON CONFLICT (row_kind, row_seq, name) DO UPDATE SET
    label = excluded.label, score = excluded.score, explanation = excluded.explanation,
    metadata = excluded.metadata, recorded_us = excluded.recorded_us;

-- name: put_experiment_run_evaluation
INSERT INTO evaluations (row_kind, row_seq, name, label, score, explanation, metadata, recorded_us)
SELECT 'experiment_run', :row_seq, :name, :label, :score, :explanation, :metadata, :now_us
WHERE EXISTS (SELECT 1 FROM experiment_runs WHERE experiment_runs.seq = :row_seq)
ON CONFLICT (row_kind, row_seq, name) DO UPDATE SET
    label = excluded.label, score = excluded.score, explanation = excluded.explanation,
    metadata = excluded.metadata, recorded_us = excluded.recorded_us;
