-- name: page
-- Newest first.
SELECT * FROM spaces
WHERE seq < :before_seq AND (:name IS NULL OR instr(casefold(name), casefold(:name)) > 0)
ORDER BY seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM spaces WHERE id = :id;

-- name: by_name
SELECT * FROM spaces WHERE name = :name;

-- name: first
-- The default space: the oldest one.
SELECT * FROM spaces ORDER BY seq LIMIT 1;

-- name: insert
INSERT INTO spaces (id, name, description, is_private, created_us)
VALUES (:id, :name, :description, :is_private, :created_us);

-- name: update
UPDATE spaces SET name = :name, description = :description, is_private = :is_private, settings = :settings
WHERE id = :id;

-- name: others
-- Whether there is another space.
SELECT 1 FROM spaces WHERE id <> :id LIMIT 1;

-- name: delete
-- Also deletes everything in the space.
DELETE FROM spaces WHERE id = :id;
