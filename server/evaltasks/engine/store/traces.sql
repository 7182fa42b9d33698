-- name: page
-- Root spans of the window, newest first. <filter> is a compiled filter over the alias s that at least one span of the
-- trace in the window must pass.
SELECT t.*
FROM spans t
WHERE t.project_id = :project_id AND t.parent_id IS NULL
  AND t.start_us BETWEEN :window_start_us AND min(:window_end_us, :after_start_us)
  AND (
    t.start_us < :after_start_us
    OR (t.start_us = :after_start_us AND (t.trace_id, t.span_id) > (:after_trace_id, :after_span_id))
  )
  AND EXISTS (
    SELECT 1 FROM spans s
    WHERE s.project_id = t.project_id AND s.trace_id = t.trace_id
      AND s.start_us BETWEEN :window_start_us AND :window_end_us AND {filter}
  )
ORDER BY t.start_us DESC, t.trace_id, t.span_id
LIMIT :limit;

-- name: spans
-- The spans of one trace in the window, sorted by start time, at most :limit.
SELECT s.*
FROM spans s
WHERE s.project_id = :project_id AND s.trace_id = :trace_id
  AND s.start_us BETWEEN :window_start_us AND :window_end_us
ORDER BY s.start_us, s.span_id
LIMIT :limit;
