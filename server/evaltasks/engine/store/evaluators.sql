-- name: page
-- Most recently updated first. A parameter that is NULL does not filter.
SELECT e.*
FROM evaluators e JOIN spaces s ON s.id = e.space_id
WHERE (e.updated_us, e.seq) < (:before_us, :before_seq)
  AND (:space_id IS NULL OR e.space_id = :space_id)
  AND (:space_name IS NULL OR instr(casefold(s.name), casefold(:space_name)) > 0)
  AND (:name IS NULL OR instr(casefold(e.name), casefold(:name)) > 0)
ORDER BY e.updated_us DESC, e.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM evaluators WHERE id = :id;

-- name: by_name
SELECT * FROM evaluators WHERE space_id = :space_id AND name = :name;

-- name: insert
INSERT INTO evaluators (id, space_id, name, type, description, created_us, updated_us)
VALUES (:id, :space_id, :name, :type, :description, :now_us, :now_us);

-- name: update
UPDATE evaluators SET name = :name, description = :description, updated_us = :updated_us WHERE id = :id;

-- name: delete
DELETE FROM evaluators WHERE id = :id;

-- name: tasks_of
-- The tasks that use an evaluator, newest first.
SELECT DISTINCT t.id, t.name
FROM task_evaluators te JOIN tasks t ON t.id = te.task_id
WHERE te.evaluator_id = :evaluator_id
ORDER BY t.seq DESC;

-- name: insert_version
INSERT INTO evaluator_versions (id, evaluator_id, type, commit_hash, commit_message, config, created_us)
VALUES (:id, :evaluator_id, :type, :commit_hash, :commit_message, :config, :now_us);

-- name: version_by_id
SELECT * FROM evaluator_versions WHERE id = :id;

-- name: latest_version
SELECT * FROM evaluator_versions WHERE evaluator_id = :evaluator_id ORDER BY seq DESC LIMIT 1;

-- name: versions_page
-- Newest first.
SELECT * FROM evaluator_versions
WHERE evaluator_id = :evaluator_id AND seq < :before_seq
ORDER BY seq DESC
LIMIT :limit;

-- name: versions_among
-- The ids of the JSON array :ids that are versions of the evaluator.
SELECT id FROM evaluator_versions
WHERE evaluator_id = :evaluator_id AND id IN (SELECT value FROM json_each(:ids));

-- name: version_count
SELECT count(*) AS n FROM evaluator_versions WHERE evaluator_id = :evaluator_id;

-- name: delete_versions
-- A task that pinned one of them uses the latest version from now on.
DELETE FROM evaluator_versions
WHERE evaluator_id = :evaluator_id AND id IN (SELECT value FROM json_each(:ids));

-- name: judged_by
-- Template evaluators that need the AI integration: in their latest version, or in one that a task pins.
SELECT DISTINCT e.id, e.name
FROM evaluators e JOIN evaluator_versions v ON v.evaluator_id = e.id
WHERE json_extract(v.config, '$.template_config.llm_config.ai_integration_id') = :integration_id
  AND (v.seq = (SELECT max(w.seq) FROM evaluator_versions w WHERE w.evaluator_id = e.id)
       OR EXISTS (SELECT 1 FROM task_evaluators te WHERE te.evaluator_version_id = v.id))
ORDER BY e.seq;
