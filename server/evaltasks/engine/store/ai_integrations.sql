-- name: page
-- Newest first. An integration without scopings, or scoped to an organization, is visible in every space.
SELECT i.*
FROM ai_integrations i
WHERE i.seq < :before_seq
  AND (:name IS NULL OR instr(casefold(i.name), casefold(:name)) > 0)
  AND EXISTS (
      SELECT 1 FROM spaces s
      WHERE (:space_id IS NULL OR s.id = :space_id)
        AND (:space_name IS NULL OR instr(casefold(s.name), casefold(:space_name)) > 0)
        AND (json_array_length(i.settings, '$.scopings') = 0
             OR EXISTS (SELECT 1 FROM json_each(i.settings, '$.scopings') scoping
                        WHERE coalesce(json_extract(scoping.value, '$.space_id'), s.id) = s.id)))
ORDER BY i.seq DESC
LIMIT :limit;

-- name: by_id
SELECT * FROM ai_integrations WHERE id = :id;

-- name: by_name
SELECT * FROM ai_integrations WHERE name = :name;

-- name: insert
INSERT INTO ai_integrations (id, name, provider, settings, created_us, updated_us)
VALUES (:id, :name, :provider, :settings, :now_us, :now_us);

-- name: insert_if_absent
-- For integrations that every process creates when it opens the store: the second process changes nothing.
INSERT INTO ai_integrations (id, name, provider, settings, created_us, updated_us)
VALUES (:id, :name, :provider, :settings, :now_us, :now_us)
ON CONFLICT (name) DO NOTHING;

-- name: update
UPDATE ai_integrations SET name = :name, settings = :settings, updated_us = :updated_us WHERE id = :id;

-- name: delete
DELETE FROM ai_integrations WHERE id = :id;

-- name: tasks_of
SELECT name FROM tasks WHERE json_extract(run_configuration, '$.ai_integration_id') = :id ORDER BY seq DESC;
