-- name: page
-- Newest first. A parameter that is NULL does not filter.
SELECT p.*
FROM projects p JOIN spaces s ON s.id = p.space_id
WHERE p.seq < :before_seq
  AND (:space_id IS NULL OR p.space_id = :space_id)
  AND (:space_name IS NULL OR instr(casefold(s.name), casefold(:space_name)) > 0)
  AND (:name IS NULL OR instr(casefold(p.name), casefold(:name)) > 0)
  AND (:project_type IS NULL OR p.project_type = :project_type)
ORDER BY p.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM projects WHERE id = :id;

-- name: by_name
SELECT * FROM projects WHERE space_id = :space_id AND name = :name;

-- name: insert
INSERT INTO projects (id, space_id, name, project_type, created_us)
VALUES (:id, :space_id, :name, :project_type, :created_us);

-- name: rename
UPDATE projects SET name = :name WHERE id = :id;

-- name: delete
-- Also deletes its spans, their evaluations and its tasks.
DELETE FROM projects WHERE id = :id;
