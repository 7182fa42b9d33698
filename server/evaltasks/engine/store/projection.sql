-- How many rows a project task would evaluate in a day, estimated from a sample of the newest spans.

-- name: first_span_from
-- The span with this number, or the next one that exists.
SELECT seq, ingested_us FROM spans WHERE seq >= :seq ORDER BY seq LIMIT 1;

-- name: count_rows_of_spans
-- How many ledger rows the spans of the JSON array :seqs would make. <fits> is the number of evaluators whose filter a
-- span passes.
SELECT coalesce(sum({fits}), 0) AS n FROM spans AS s
WHERE s.seq IN (SELECT value FROM json_each(:seqs)) AND s.project_id = :project_id AND ({task_filter});
