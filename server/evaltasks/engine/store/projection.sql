-- What a project task would have to evaluate in a day, told from a sample of the spans that came last.

-- name: next_from
-- The span with this number or the next one that is left.
SELECT seq, ingested_us FROM spans WHERE seq >= :seq ORDER BY seq LIMIT 1;

-- name: rows_of_sample
-- How many rows the spans of a JSON list of numbers make: {fits} is the number of evaluators that take one.
SELECT coalesce(sum({fits}), 0) AS n FROM spans AS s
WHERE s.seq IN (SELECT value FROM json_each(:seqs)) AND s.project_id = :project_id AND ({task_filter});
