-- name: spans
-- Spans of a project in a window (its end exclusive), after a seq, in the order of ingestion. <filter> is a compiled
-- filter over the alias s. A sample contains a trace whole or not at all, the same traces every time.
SELECT s.*
FROM spans s
WHERE s.project_id = :project_id AND s.seq > :after_seq
  AND s.start_us >= :window_start_us AND s.start_us < :window_end_us
  AND (:sample_rate IS NULL OR is_sampled('export', s.trace_id, :sample_rate))
  AND ({filter})
ORDER BY s.seq
LIMIT :limit;

-- name: count_spans
SELECT count(*) AS n
FROM spans s
WHERE s.project_id = :project_id
  AND s.start_us >= :window_start_us AND s.start_us < :window_end_us
  AND (:sample_rate IS NULL OR is_sampled('export', s.trace_id, :sample_rate))
  AND ({filter});

-- name: existing_experiment_run_ids
-- The ids of the JSON array :ids that an experiment run of any experiment has.
SELECT id FROM experiment_runs WHERE id IN (SELECT value FROM json_each(:ids));
