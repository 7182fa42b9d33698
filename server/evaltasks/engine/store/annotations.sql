-- name: put
-- A field that is NULL keeps its stored value.
INSERT INTO annotations (row_kind, row_seq, name, label, score, text, updated_us)
VALUES (:row_kind, :row_seq, :name, :label, :score, :text, :now_us)
ON CONFLICT (row_kind, row_seq, name) DO UPDATE SET
    label = coalesce(excluded.label, label), score = coalesce(excluded.score, score),
    text = coalesce(excluded.text, text), updated_us = excluded.updated_us;

-- name: on_rows
-- The annotations on the rows whose seq is in the JSON array :seqs.
SELECT a.row_seq, a.name, a.label, a.score, a.text, a.updated_us
FROM annotations a
WHERE a.row_kind = :row_kind AND a.row_seq IN (SELECT value FROM json_each(:seqs))
ORDER BY a.row_seq, a.name;

-- name: copy_to_version
-- Copies the annotations of examples to the same examples of another version.
INSERT INTO annotations (row_kind, row_seq, name, label, score, text, updated_us)
SELECT a.row_kind, n.seq, a.name, a.label, a.score, a.text, a.updated_us
FROM examples o
JOIN annotations a ON a.row_kind = 'example' AND a.row_seq = o.seq
JOIN examples n ON n.version_id = :to_version_id AND n.id = o.id
WHERE o.version_id = :from_version_id;

-- name: examples
-- The rows of these examples in all versions of the dataset; :ids is a JSON array.
SELECT x.id, x.seq
FROM dataset_versions v JOIN examples x ON x.version_id = v.id
WHERE v.dataset_id = :dataset_id AND x.id IN (SELECT value FROM json_each(:ids));

-- name: experiment_runs
SELECT r.id, r.seq
FROM experiment_runs r
WHERE r.experiment_id = :experiment_id AND r.id IN (SELECT value FROM json_each(:ids));

-- name: spans
SELECT s.span_id AS id, s.seq, s.parent_id
FROM spans s
WHERE s.project_id = :project_id AND s.span_id IN (SELECT value FROM json_each(:ids))
  AND s.start_us BETWEEN :window_start_us AND :window_end_us;

-- name: sessions
-- The root span of each session's earliest trace, or its first span if no span is a root.
SELECT id, seq
FROM (
    SELECT s.session_id AS id, s.seq,
        row_number() OVER (
            PARTITION BY s.session_id ORDER BY s.parent_id IS NOT NULL, s.start_us, s.trace_id, s.span_id
        ) AS place
    FROM spans s
    WHERE s.project_id = :project_id AND s.session_id IN (SELECT value FROM json_each(:ids))
      AND s.start_us BETWEEN :window_start_us AND :window_end_us
)
WHERE place = 1;
