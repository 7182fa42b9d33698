-- name: spans
-- The spans of a project with these ids; :ids is a JSON array. Several traces may have a span of the same id.
SELECT s.seq, s.span_id, s.attributes
FROM spans s
WHERE s.project_id = :project_id AND s.span_id IN (SELECT value FROM json_each(:ids));

-- name: set_attributes
UPDATE spans SET attributes = :attributes WHERE seq = :seq;
