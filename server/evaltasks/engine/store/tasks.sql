-- name: by_id
SELECT * FROM tasks WHERE id = :id;

-- name: page
-- Newest first. A parameter that is NULL does not filter. A name matches if it contains the text, in any letter case.
SELECT tasks.* FROM tasks JOIN spaces ON spaces.id = tasks.space_id
WHERE tasks.seq < :before
    AND (:space_id IS NULL OR tasks.space_id = :space_id)
    AND (:space_name IS NULL OR instr(casefold(spaces.name), casefold(:space_name)) > 0)
    AND (:name IS NULL OR instr(casefold(tasks.name), casefold(:name)) > 0)
    AND (:project_id IS NULL OR tasks.project_id = :project_id)
    AND (:dataset_id IS NULL OR tasks.dataset_id = :dataset_id)
    AND (:type IS NULL OR tasks.type = :type)
ORDER BY tasks.seq DESC LIMIT :limit;

-- name: named
SELECT id FROM tasks WHERE space_id = :space_id AND name = :name AND id IS NOT :except_id;

-- name: insert
-- The slots hold the columns of the task's settings (store/tasks.py).
INSERT INTO tasks (
    id, space_id, name, type, project_id, dataset_id, experiment_ids, {columns}, continuous_after_seq,
    created_us, updated_us
) VALUES (
    :id, :space_id, :name, :type, :project_id, :dataset_id, :experiment_ids, {parameters}, :continuous_after_seq,
    :now_us, :now_us
);

-- name: update
UPDATE tasks SET
    name = :name, {assignments}, continuous_after_seq = :continuous_after_seq, updated_us = :now_us
WHERE id = :id;

-- name: delete
DELETE FROM tasks WHERE id = :id;

-- name: set_last_run
UPDATE tasks SET last_run_us = :now_us WHERE id = :id;

-- name: last_span_seq
-- The number of the newest span of any project. A new continuous task starts with the spans after it.
SELECT coalesce(max(seq), 0) AS seq FROM spans;

-- name: attachments
-- The evaluators of the tasks of the JSON array :task_ids.
SELECT task_evaluators.*, evaluators.name AS evaluator_name
FROM task_evaluators JOIN evaluators ON evaluators.id = task_evaluators.evaluator_id
WHERE task_evaluators.task_id IN (SELECT value FROM json_each(:task_ids))
ORDER BY task_evaluators.task_id, task_evaluators.position;

-- name: attach
INSERT INTO task_evaluators (
    task_id, position, evaluator_id, evaluator_version_id, query_filter, column_mappings, query_mappings
) VALUES (
    :task_id, :position, :evaluator_id, :evaluator_version_id, :query_filter, :column_mappings, :query_mappings
);

-- name: detach_all
DELETE FROM task_evaluators WHERE task_id = :task_id;

-- name: continuous
-- Continuous project tasks with new spans, without an unfinished task run, whose last one was some time ago (or in the
-- future: the clock was set back). The unary plus keeps SQLite from using the project's index, because a scan of the
-- few newest spans by seq is faster.
SELECT tasks.id, tasks.project_id, tasks.continuous_after_seq AS after_seq, (
    SELECT max(spans.seq) FROM spans
    WHERE spans.seq > tasks.continuous_after_seq AND +spans.project_id = tasks.project_id
) AS upto_seq
FROM tasks
WHERE tasks.is_continuous AND tasks.project_id IS NOT NULL AND tasks.continuous_after_seq IS NOT NULL
    AND (tasks.last_run_us IS NULL OR tasks.last_run_us NOT BETWEEN :ran_before_us + 1 AND :now_us)
    AND EXISTS (
        SELECT 1 FROM spans
        WHERE spans.seq > tasks.continuous_after_seq AND +spans.project_id = tasks.project_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM task_runs
        WHERE task_runs.task_id = tasks.id AND task_runs.status IN ('PENDING', 'RUNNING')
    );

-- name: take_spans_upto
UPDATE tasks SET continuous_after_seq = :upto_seq WHERE id = :id;
