"""Checks the invariants of a store file with SQL queries."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_QUERIES = {
    "a count is not its ledger's": """
        SELECT r.seq FROM task_runs AS r LEFT JOIN task_run_rows AS l ON l.task_run_seq = r.seq
        WHERE r.num_selected IS NOT NULL GROUP BY r.seq
        HAVING r.num_selected <> count(l.position) OR r.num_successes <> total(l.outcome = 'SUCCESS')
            OR r.num_errors <> total(l.outcome = 'ERROR') OR r.num_skipped <> total(l.outcome = 'SKIPPED')""",
    "a completed task run has lines that wait": """
        SELECT r.seq FROM task_runs AS r JOIN task_run_rows AS l ON l.task_run_seq = r.seq
        WHERE r.status = 'COMPLETED' AND l.outcome = 'WAITING'""",
    "an ended task run has an owner": """
        SELECT seq FROM task_runs WHERE status NOT IN ('PENDING', 'RUNNING') AND owner IS NOT NULL""",
    "one row is in a ledger twice": """
        SELECT task_run_seq, row_id FROM task_run_rows
        GROUP BY task_run_seq, row_kind, row_seq, row_id, evaluator_id HAVING count(*) > 1""",
    "a success has no evaluation on its span": """
        SELECT l.row_id FROM task_run_rows AS l JOIN spans AS s ON s.seq = l.row_seq
        WHERE l.row_kind = 'span' AND l.outcome = 'SUCCESS' AND NOT EXISTS (
            SELECT 1 FROM evaluations AS e
            WHERE e.row_kind = 'span' AND e.row_seq = l.row_seq AND e.name = l.evaluation_name)""",
    "a success has no evaluation on its experiment run": """
        SELECT l.row_id FROM task_run_rows AS l JOIN experiment_runs AS x ON x.seq = l.row_seq
        WHERE l.row_kind = 'experiment_run' AND l.outcome = 'SUCCESS' AND NOT EXISTS (
            SELECT 1 FROM evaluations AS e
            WHERE e.row_kind = 'experiment_run' AND e.row_seq = l.row_seq AND e.name = l.evaluation_name)""",
    "a success has no evaluation on its trace or session": """
        SELECT l.row_id FROM task_run_rows AS l
        JOIN task_runs AS r ON r.seq = l.task_run_seq JOIN tasks AS t ON t.id = r.task_id
        WHERE l.row_kind IN ('trace', 'session') AND l.outcome = 'SUCCESS' AND NOT EXISTS (
            SELECT 1 FROM group_evaluations AS e WHERE e.project_id = t.project_id AND e.row_kind = l.row_kind
                AND e.row_id = l.row_id AND e.name = l.evaluation_name)""",
    "an evaluation was recorded by no line": """
        SELECT e.row_seq FROM evaluations AS e
        JOIN task_runs AS r ON r.id = json_extract(e.metadata, '$.task_run_id')
        WHERE NOT EXISTS (
            SELECT 1 FROM task_run_rows AS l WHERE l.task_run_seq = r.seq AND l.row_kind = e.row_kind
                AND l.row_seq = e.row_seq AND l.evaluation_name = e.name AND l.outcome = 'SUCCESS')""",
    "an evaluation is on nothing": """
        SELECT row_seq FROM evaluations
        WHERE (row_kind = 'span' AND row_seq NOT IN (SELECT seq FROM spans))
            OR (row_kind = 'experiment_run' AND row_seq NOT IN (SELECT seq FROM experiment_runs))""",
    "an experiment has not one experiment run for each line done": """
        SELECT r.seq FROM task_runs AS r
        JOIN tasks AS t ON t.id = r.task_id AND t.type = 'RUN_EXPERIMENT'
        JOIN experiments AS x ON x.id = r.experiment_id
        WHERE (SELECT count(*) FROM experiment_runs WHERE experiment_id = x.id) <> r.num_successes + r.num_errors
            OR (SELECT count(DISTINCT example_id) FROM experiment_runs WHERE experiment_id = x.id)
                <> r.num_successes + r.num_errors""",
    "a continuous task took a row twice": """
        SELECT r.task_id, l.row_id FROM task_run_rows AS l JOIN task_runs AS r ON r.seq = l.task_run_seq
        WHERE r.after_span_seq IS NOT NULL
        GROUP BY r.task_id, l.row_kind, l.row_seq, l.evaluator_id HAVING count(*) > 1""",
}


def contradictions(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        found = [f"foreign key: {line}" for line in connection.execute("PRAGMA foreign_key_check")]
        found += [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
        for name, query in _QUERIES.items():
            found += [f"{name}: {line}" for line in connection.execute(query)]
        return found
