-- name: page
-- Newest first. A parameter that is NULL does not filter.
SELECT d.*
FROM datasets d JOIN spaces s ON s.id = d.space_id
WHERE d.seq < :before_seq
  AND (:space_id IS NULL OR d.space_id = :space_id)
  AND (:space_name IS NULL OR instr(casefold(s.name), casefold(:space_name)) > 0)
  AND (:name IS NULL OR instr(casefold(d.name), casefold(:name)) > 0)
ORDER BY d.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM datasets WHERE id = :id;

-- name: by_name
SELECT * FROM datasets WHERE space_id = :space_id AND name = :name;

-- name: insert
INSERT INTO datasets (id, space_id, name, created_us, updated_us)
VALUES (:id, :space_id, :name, :now_us, :now_us);

-- name: rename
UPDATE datasets SET name = :name, updated_us = :updated_us WHERE id = :id;

-- name: touch
UPDATE datasets SET updated_us = :updated_us WHERE id = :id;

-- name: delete
DELETE FROM datasets WHERE id = :id;

-- name: versions
-- Newest first. A dataset has few versions, and the response for a dataset contains all of them.
SELECT * FROM dataset_versions WHERE dataset_id = :dataset_id ORDER BY seq DESC;

-- name: version_by_id
SELECT * FROM dataset_versions WHERE id = :id AND dataset_id = :dataset_id;

-- name: latest_version
SELECT * FROM dataset_versions WHERE dataset_id = :dataset_id ORDER BY seq DESC LIMIT 1;

-- name: insert_version
INSERT INTO dataset_versions (id, dataset_id, name, created_us, updated_us)
VALUES (:id, :dataset_id, :name, :now_us, :now_us);

-- name: touch_version
UPDATE dataset_versions SET updated_us = :updated_us WHERE id = :id;

-- name: insert_example
INSERT INTO examples (id, version_id, columns, created_us, updated_us)
VALUES (:id, :version_id, :columns, :now_us, :now_us);

-- name: examples_page
-- In the order of creation. <filter> is a compiled filter over the alias x.
SELECT x.*
FROM examples x
WHERE x.version_id = :version_id AND x.seq > :after_seq AND ({filter})
ORDER BY x.seq
LIMIT :limit;

-- name: version_by_name
SELECT * FROM dataset_versions WHERE dataset_id = :dataset_id AND name = :name;

-- name: copy_examples
-- In the same order. Every example keeps its id and its times.
INSERT INTO examples (id, version_id, columns, created_us, updated_us)
SELECT x.id, :to_version_id, x.columns, x.created_us, x.updated_us
FROM examples x WHERE x.version_id = :from_version_id
ORDER BY x.seq;

-- name: examples_by_id
-- The examples of a version whose id is in the JSON array :ids.
SELECT x.* FROM examples x
WHERE x.version_id = :version_id AND x.id IN (SELECT value FROM json_each(:ids));

-- name: update_example
UPDATE examples SET columns = :columns, updated_us = :updated_us WHERE version_id = :version_id AND id = :id;

-- name: delete_examples
DELETE FROM examples
WHERE version_id = :version_id AND id IN (SELECT value FROM json_each(:ids))
RETURNING id;

-- name: unknown_examples
-- The indexes of the ids of the JSON array :ids that are not examples of the version.
SELECT wanted.key AS place FROM json_each(:ids) AS wanted
WHERE NOT EXISTS (
    SELECT 1 FROM examples WHERE examples.version_id = :version_id AND examples.id = wanted.value
)
ORDER BY wanted.key LIMIT 20;
