-- name: spans
-- Spans of a project in a window (its end outside), after a seq, in the order they came. {filter} is a compiled
-- filter over the alias s. Whole traces are in a sample or out of it, the same ones every time.
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

-- name: taken_experiment_run_ids
-- Which of the ids in the JSON array :ids some experiment has already.
SELECT id FROM experiment_runs WHERE id IN (SELECT value FROM json_each(:ids));
