-- name: page
-- Newest first, then by trace id and span id, after a position. <filter> is a compiled filter over the alias s, or 1.
SELECT s.*
FROM spans s
WHERE s.project_id = :project_id AND s.start_us BETWEEN :window_start_us AND :window_end_us
  AND (
    s.start_us < :after_start_us
    OR (s.start_us = :after_start_us AND (s.trace_id, s.span_id) > (:after_trace_id, :after_span_id))
  )
  AND {filter}
ORDER BY s.start_us DESC, s.trace_id, s.span_id
LIMIT :limit;

-- name: evaluations
-- The evaluations on the spans whose seq is in the JSON array :seqs.
SELECT e.row_seq, e.name, e.label, e.score, e.explanation, e.metadata
FROM evaluations e
WHERE e.row_kind = 'span' AND e.row_seq IN (SELECT value FROM json_each(:seqs))
ORDER BY e.row_seq, e.name;

-- name: known
-- How many of the pairs of trace id and span id in the JSON array :keys the project has. CROSS JOIN makes SQLite look
-- up the pairs in spans, never the other way round.
SELECT count(*) AS n
FROM json_each(:keys) AS pair CROSS JOIN spans ON spans.project_id = :project_id
    AND spans.trace_id = json_extract(pair.value, '$[0]') AND spans.span_id = json_extract(pair.value, '$[1]');

-- name: put
-- An existing span keeps its seq, and with it its evaluations and its place in continuous tasks.
INSERT INTO spans (
    project_id, trace_id, span_id, parent_id, name, kind, status_code, status_message, start_us, end_us,
    latency_ms, session_id, attributes, events, ingested_us
) VALUES (
    :project_id, :trace_id, :span_id, :parent_id, :name, :kind, :status_code, :status_message, :start_us, :end_us,
    :latency_ms, :session_id, :attributes, :events, :ingested_us
)
ON CONFLICT (project_id, trace_id, span_id) DO UPDATE SET
    parent_id = excluded.parent_id, name = excluded.name, kind = excluded.kind, status_code = excluded.status_code,
    status_message = excluded.status_message, start_us = excluded.start_us, end_us = excluded.end_us,
    latency_ms = excluded.latency_ms, session_id = excluded.session_id, attributes = excluded.attributes,
    events = excluded.events, ingested_us = excluded.ingested_us;

-- name: delete
-- Deletes the spans of the JSON array :ids that start in the window (its end exclusive), with their evaluations and
-- annotations.
DELETE FROM spans
WHERE project_id = :project_id AND span_id IN (SELECT value FROM json_each(:ids))
  AND start_us >= :window_start_us AND start_us < :window_end_us
RETURNING span_id;
