-- Traces and sessions: groups of spans of one project with the same trace id or session id. A trace belongs to every
-- session that one of its spans names.

-- part: traces_of_window
-- For `select_groups`: g is the first span in the window of its trace. One index lookup for each span of the window,
-- starting with the newest, until enough traces are selected.
g.project_id = :project_id AND g.start_us BETWEEN :first_us AND :last_us
AND g.seq = (
    SELECT f.seq FROM spans AS f
    WHERE f.project_id = g.project_id AND f.trace_id = g.trace_id AND f.start_us >= :first_us
    ORDER BY f.start_us, f.seq LIMIT 1
);

-- part: sessions_of_window
-- As traces_of_window. The unary pluses keep SQLite from scanning all sessions instead of the newest spans.
g.project_id = :project_id AND g.start_us BETWEEN :first_us AND :last_us AND +g.session_id IS NOT NULL
AND g.seq = (
    SELECT f.seq FROM spans AS f
    WHERE f.project_id = g.project_id AND f.session_id = +g.session_id AND f.start_us >= :first_us
    ORDER BY f.start_us, f.seq LIMIT 1
);

-- part: new_traces
-- For `select_groups`: g is the first span of a trace that got new spans up to :upto_seq and none after it. A trace
-- that got later spans is still active; a later task run selects it by its last span.
g.seq IN (
    SELECT (
        SELECT f.seq FROM spans AS f
        WHERE f.project_id = n.project_id AND f.trace_id = n.trace_id
        ORDER BY f.start_us, f.seq LIMIT 1
    )
    FROM spans AS n WHERE n.seq > :after_seq AND n.seq <= :upto_seq AND +n.project_id = :project_id
)
AND NOT EXISTS (
    SELECT 1 FROM spans AS l
    WHERE l.project_id = g.project_id AND l.trace_id = g.trace_id AND +l.seq > :upto_seq
);

-- part: new_sessions
-- As new_traces, for sessions. A span belongs to every session of its trace.
g.seq IN (
    SELECT (
        SELECT f.seq FROM spans AS f
        WHERE f.project_id = m.project_id AND f.session_id = m.session_id
        ORDER BY f.start_us, f.seq LIMIT 1
    )
    FROM spans AS n CROSS JOIN spans AS m ON m.project_id = n.project_id AND m.trace_id = n.trace_id
    WHERE n.seq > :after_seq AND n.seq <= :upto_seq AND +n.project_id = :project_id AND +m.session_id IS NOT NULL
)
AND NOT EXISTS (
    SELECT 1 FROM spans AS m CROSS JOIN spans AS l ON l.project_id = m.project_id AND l.trace_id = m.trace_id
    WHERE m.project_id = g.project_id AND m.session_id = g.session_id AND +l.seq > :upto_seq
);

-- part: some_span_of_trace
-- For `select_groups`: a span of the trace in the window passes <filter>, which is compiled over the alias s.
EXISTS (
    SELECT 1 FROM spans AS s
    WHERE s.project_id = g.project_id AND s.trace_id = g.trace_id
        AND s.start_us BETWEEN :first_us AND :last_us AND ({filter})
);

-- part: some_span_of_session
-- The unary plus keeps SQLite from scanning all traces of the project to compute DISTINCT.
EXISTS (
    SELECT 1 FROM (
        SELECT DISTINCT +m.trace_id AS trace_id FROM spans AS m
        WHERE m.project_id = g.project_id AND m.session_id = g.session_id
    ) AS traces CROSS JOIN spans AS s ON s.project_id = g.project_id AND s.trace_id = traces.trace_id
    WHERE s.start_us BETWEEN :first_us AND :last_us AND ({filter})
);

-- name: select_groups
-- As ledger.select_spans: the newest groups, by their first span, that pass the filters of the task and of at least one
-- evaluator. <key> is the group's id, <rows> one of the parts above.
SELECT json_group_array(json_array(place, seq, row_id, iif(:row_kind = 'trace', row_id, NULL), {marks})) AS chosen
FROM (
    SELECT picked.*, row_number() OVER (ORDER BY picked.start_us DESC, picked.row_id) AS place
    FROM (
        SELECT g.seq, {key} AS row_id, g.start_us, {fits}
        FROM spans AS g
        WHERE {rows}
            AND (:sampling_rate IS NULL OR is_sampled(:task_id, {key}, :sampling_rate))
            AND ({task_filter}) AND ({any_fit})
        ORDER BY g.start_us DESC, {key}
        LIMIT :rows_max
    ) AS picked
);

-- part: group_is_labelled
-- For ledger.insert_selected.
EXISTS (
    SELECT 1 FROM group_evaluations AS e
    WHERE e.project_id = :project_id AND e.row_kind = :row_kind AND e.row_id = lines.row_id
        AND e.name = lines.evaluation_name
);

-- part: group_is_open
-- For ledger.insert_selected. A continuous task evaluates a group once with each evaluator, even if further spans of it
-- arrive later.
:after_seq IS NULL OR NOT EXISTS (
    SELECT 1 FROM task_run_rows AS l JOIN task_runs AS t ON t.seq = l.task_run_seq
    WHERE l.row_kind IN ('trace', 'session') AND l.row_kind = :row_kind AND l.row_id = lines.row_id
        AND l.evaluator_id = lines.evaluator_id AND t.task_id = :task_id AND t.after_span_seq IS NOT NULL
);

-- name: pending
-- The next ledger rows to process. The spans of a group are read when the group is processed.
SELECT
    position, row_kind, row_seq, evaluator_id, evaluator_version_id, evaluation_name, row_id
FROM task_run_rows
WHERE task_run_seq = :seq AND position > :after AND outcome = 'WAITING'
ORDER BY position LIMIT :limit;

-- name: trace_ids_of_session
-- Sorted by the start of their first spans.
SELECT traces.trace_id FROM (
    SELECT DISTINCT +m.trace_id AS trace_id FROM spans AS m
    WHERE m.project_id = :project_id AND m.session_id = :row_id
) AS traces
ORDER BY (
    SELECT min(f.start_us) FROM spans AS f WHERE f.project_id = :project_id AND f.trace_id = traces.trace_id
), traces.trace_id;

-- name: spans_of_trace
-- Sorted by start time. <takes> are columns that say which of the task's filters the span passes.
SELECT s.*{takes} FROM spans AS s
WHERE s.project_id = :project_id AND s.trace_id = :trace_id
ORDER BY s.start_us, s.seq;

-- name: put_evaluation
-- Writes nothing if the spans of the group were deleted in the meantime.
INSERT INTO group_evaluations (
    project_id, row_kind, row_id, name, label, score, explanation, metadata, recorded_us
)
SELECT :project_id, :row_kind, :row_id, :name, :label, :score, :explanation, :metadata, :now_us
WHERE EXISTS (
    SELECT 1 FROM spans WHERE :row_kind = 'trace' AND project_id = :project_id AND trace_id = :row_id
    UNION ALL
    SELECT 1 FROM spans WHERE :row_kind = 'session' AND project_id = :project_id AND session_id = :row_id
)
ON CONFLICT (project_id, row_kind, row_id, name) DO UPDATE SET
    label = excluded.label, score = excluded.score, explanation = excluded.explanation,
    metadata = excluded.metadata, recorded_us = excluded.recorded_us;

-- name: evaluations_on_spans
-- The evaluations of the traces and sessions of the spans whose seq is in the JSON array :seqs: those of a trace on its
-- root spans (on its first span if it has no root), those of a session on the spans that name it.
SELECT s.seq AS row_seq, 'trace_eval.' || e.name AS name, e.label, e.score, e.explanation, e.metadata
FROM spans AS s JOIN group_evaluations AS e
    ON e.project_id = s.project_id AND e.row_kind = 'trace' AND e.row_id = s.trace_id
WHERE s.seq IN (SELECT value FROM json_each(:seqs)) AND (s.parent_id IS NULL OR (
    NOT EXISTS (
        SELECT 1 FROM spans AS r
        WHERE r.project_id = s.project_id AND r.trace_id = s.trace_id AND r.parent_id IS NULL
    )
    AND s.seq = (
        SELECT f.seq FROM spans AS f WHERE f.project_id = s.project_id AND f.trace_id = s.trace_id
        ORDER BY f.start_us, f.seq LIMIT 1
    )
))
UNION ALL
SELECT s.seq, 'session_eval.' || e.name, e.label, e.score, e.explanation, e.metadata
FROM spans AS s JOIN group_evaluations AS e
    ON e.project_id = s.project_id AND e.row_kind = 'session' AND e.row_id = s.session_id
WHERE s.seq IN (SELECT value FROM json_each(:seqs))
ORDER BY row_seq, name;

-- name: quiet_upto_seq
-- The newest span of the project after :after_seq such that every span up to it was ingested by :quiet_since_us. A span
-- that was ingested in the future (the clock was set back) counts as old.
SELECT max(n.seq) AS upto_seq FROM spans AS n
WHERE n.seq > :after_seq AND +n.project_id = :project_id AND n.seq < coalesce((
    SELECT min(y.seq) FROM spans AS y
    WHERE y.seq > :after_seq AND +y.project_id = :project_id
        AND y.ingested_us > :quiet_since_us AND y.ingested_us <= :now_us
), 9223372036854775807);
