-- name: by_id
SELECT * FROM task_runs WHERE id = :id;

-- name: by_seq
SELECT * FROM task_runs WHERE seq = :seq;

-- name: page
SELECT * FROM task_runs
WHERE task_id = :task_id AND seq < :before AND (:status IS NULL OR status = :status)
ORDER BY seq DESC LIMIT :limit;

-- name: insert
INSERT INTO task_runs (
    id, task_id, status, options, data_start_us, data_end_us, after_span_seq, upto_span_seq, created_us
) VALUES (
    :id, :task_id, 'PENDING', :options, :data_start_us, :data_end_us, :after_span_seq, :upto_span_seq, :now_us
);

-- name: recent_windows
-- The windows of the task runs that were triggered with one, newest first.
SELECT status, data_start_us, data_end_us FROM task_runs
WHERE task_id = :task_id AND after_span_seq IS NULL AND data_end_us IS NOT NULL
ORDER BY seq DESC LIMIT 100;

-- name: reserved_experiment_name
-- A pending task run of this dataset that is going to create an experiment of this name.
SELECT task_runs.id FROM task_runs JOIN tasks ON tasks.id = task_runs.task_id
WHERE tasks.dataset_id = :dataset_id AND task_runs.status = 'PENDING' AND task_runs.experiment_id IS NULL
    AND json_extract(task_runs.options, '$.experiment_name') = :name;

-- name: end
-- Ends a task run, only from the status that the caller saw: if two callers end it at once, one of them succeeds.
UPDATE task_runs SET
    status = :status, failure_reason = :reason, finished_us = :now_us, owner = NULL, lease_until_us = NULL
WHERE seq = :seq AND status = :from_status;

-- name: unclaimed
-- The unfinished task runs without a lease, oldest first. The caller stops reading when it has enough.
SELECT task_runs.seq, task_runs.status, tasks.name AS task_name
FROM task_runs CROSS JOIN tasks ON tasks.id = task_runs.task_id
WHERE task_runs.status IN ('PENDING', 'RUNNING') AND task_runs.lease_until_us IS NULL
ORDER BY task_runs.seq;

-- name: leased
-- The leased task runs. Their number is limited by what running and dead processes work on at once.
SELECT seq, owner, lease_until_us FROM task_runs
WHERE status = 'RUNNING' AND lease_until_us IS NOT NULL
    AND seq NOT IN (SELECT value FROM json_each(:except_seqs))
ORDER BY seq LIMIT 1000;

-- name: claimable
-- The task run, unless it was claimed, renewed or ended since its lease was read.
SELECT * FROM task_runs
WHERE seq = :seq AND status IN ('PENDING', 'RUNNING') AND owner IS :owner AND lease_until_us IS :until_us;

-- name: claim
UPDATE task_runs SET
    status = :status, owner = :owner, lease_until_us = :lease_until_us, started_us = coalesce(started_us, :now_us)
WHERE seq = :seq;

-- name: current_owners
-- The owners of the JSON array :owners that still hold their task run.
SELECT owner FROM task_runs
WHERE status = 'RUNNING' AND owner IN (SELECT value FROM json_each(:owners));

-- name: renew_leases
UPDATE task_runs SET lease_until_us = :lease_until_us
WHERE status = 'RUNNING' AND owner IN (SELECT value FROM json_each(:owners));

-- name: release_leases
-- Releases task runs, so that any process can claim them at once.
UPDATE task_runs SET owner = NULL, lease_until_us = NULL
WHERE status = 'RUNNING' AND owner IN (SELECT value FROM json_each(:owners));

-- name: owned
-- The task run, if this owner still holds it.
SELECT * FROM task_runs WHERE seq = :seq AND owner = :owner AND status = 'RUNNING';

-- name: set_selected
UPDATE task_runs SET
    num_selected = :num_selected, num_skipped = :num_skipped, experiment_id = :experiment_id, plan = :plan
WHERE seq = :seq;

-- name: set_chained_task_runs
UPDATE task_runs SET chained_task_run_ids = :ids WHERE seq = :seq;

-- name: set_window
-- The window of the spans that a continuous task run selected.
UPDATE task_runs SET data_start_us = :data_start_us, data_end_us = :data_end_us WHERE seq = :seq;

-- name: add_counts
UPDATE task_runs SET
    num_successes = num_successes + :successes, num_errors = num_errors + :errors,
    num_skipped = num_skipped + :skipped
WHERE seq = :seq;
