-- name: page
-- Newest first. A parameter that is NULL does not filter.
SELECT c.*
FROM annotation_configs c JOIN spaces s ON s.id = c.space_id
WHERE c.seq < :before_seq
  AND (:space_id IS NULL OR c.space_id = :space_id)
  AND (:space_name IS NULL OR instr(casefold(s.name), casefold(:space_name)) > 0)
  AND (:name IS NULL OR instr(casefold(c.name), casefold(:name)) > 0)
ORDER BY c.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM annotation_configs WHERE id = :id;

-- name: by_name
SELECT * FROM annotation_configs WHERE space_id = :space_id AND name = :name;

-- name: insert
INSERT INTO annotation_configs (id, space_id, name, type, settings, created_us)
VALUES (:id, :space_id, :name, :type, :settings, :now_us);

-- name: update
UPDATE annotation_configs SET name = :name, settings = :settings WHERE id = :id;

-- name: delete
-- Annotations with its name stay on their rows.
DELETE FROM annotation_configs WHERE id = :id;

-- name: unknown_names
-- The names of the JSON array :names that no config of the space has.
SELECT DISTINCT n.value AS name
FROM json_each(:names) n
WHERE NOT EXISTS (SELECT 1 FROM annotation_configs c WHERE c.space_id = :space_id AND c.name = n.value)
ORDER BY n.value;
