-- name: page
-- Newest first. A parameter that is NULL does not filter.
SELECT e.*
FROM experiments e
WHERE e.seq < :before_seq
  AND (:dataset_id IS NULL OR e.dataset_id = :dataset_id)
  AND (:space_id IS NULL OR e.space_id = :space_id)
  AND (:name IS NULL OR instr(casefold(e.name), casefold(:name)) > 0)
ORDER BY e.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM experiments WHERE id = :id;

-- name: by_name_in_dataset
SELECT * FROM experiments WHERE dataset_id = :dataset_id AND name = :name;

-- name: by_name_in_space
-- Names of stand-alone experiments are unique in their space.
SELECT * FROM experiments WHERE space_id = :space_id AND dataset_id IS NULL AND name = :name;

-- name: insert
INSERT INTO experiments (
    id, space_id, dataset_id, dataset_version_id, name, integration_id, created_us, updated_us
)
VALUES (:id, :space_id, :dataset_id, :dataset_version_id, :name, :integration_id, :now_us, :now_us);

-- name: touch
-- At least one second later: a published client caches rows by the whole second of updated_at.
UPDATE experiments SET updated_us = max(:now_us, updated_us + 1000000) WHERE id = :id;

-- name: delete
DELETE FROM experiments WHERE id = :id;

-- name: insert_run
INSERT INTO experiment_runs (id, experiment_id, example_id, output, error, columns, created_us)
VALUES (:id, :experiment_id, :example_id, :output, :error, :columns, :now_us);

-- name: runs_page
-- In the order of insertion.
SELECT r.*
FROM experiment_runs r
WHERE r.experiment_id = :experiment_id AND r.seq > :after_seq
ORDER BY r.seq
LIMIT :limit;

-- name: runs_search
-- Sorted by id. <filter> is a compiled filter over the alias r.
SELECT r.*
FROM experiment_runs r
WHERE r.experiment_id = :experiment_id AND r.id > :after_id AND ({filter})
ORDER BY r.id
LIMIT :limit;

-- name: evaluations
-- The evaluations on the experiment runs whose seq is in the JSON array :seqs.
SELECT v.row_seq, v.name, v.label, v.score, v.explanation
FROM evaluations v
WHERE v.row_kind = 'experiment_run' AND v.row_seq IN (SELECT value FROM json_each(:seqs))
ORDER BY v.row_seq, v.name;
