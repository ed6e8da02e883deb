-- Fills an empty, migrated database; :tasks and :many are put in by many_rows.py.
CREATE FUNCTION pg_temp.who(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n % 1000 = 0 THEN 'bob' WHEN n % 10 = 0 THEN 'ann' ELSE 'local' END $$;
CREATE FUNCTION pg_temp.moment(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2024-01-01 00:00Z' + n * interval '5 minutes' $$;
CREATE FUNCTION pg_temp.status(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n < 30 THEN 'plan_review' WHEN n < 60 THEN 'waiting' WHEN n % 50 = 1 THEN 'failed' ELSE 'completed' END $$;

INSERT INTO projects (id, user_id, name, repo, settings)
SELECT 'project_' || n, 'local', 'p' || n, '/repo/' || n, '{}' FROM generate_series(0, 19) n;

INSERT INTO sessions (id, user_id, project_id, title, context, created_at, updated_at)
SELECT 'session_' || n, pg_temp.who(n), 'project_' || CASE WHEN n < 20 THEN 19 ELSE n % 19 END, 't', '{}', pg_temp.moment(n), pg_temp.moment(n) FROM generate_series(0, :tasks / 2) n;

INSERT INTO messages (id, session_id, role, content, metadata, created_at)
SELECT 'message_' || n, 'session_' || CASE n % 2 WHEN 0 THEN 7 ELSE n END, 'user', 'hello', '{}', pg_temp.moment(n) FROM generate_series(0, :tasks / 2) n;

INSERT INTO tasks (id, user_id, project_id, session_id, title, prompt, repo, workflow, request, status, stage, plan, test_results, cost,
    created_at, updated_at, finished_at, pruned_at, event_count)
SELECT 'task_' || lpad(n::text, 12, '0'), pg_temp.who(n), 'project_' || n % 20, 'session_' || n / 2, 'rename a to b', repeat('words ', 40), '/repo/' || n % 20,
    'refactor', '{}', pg_temp.status(n), 'report', json_build_object('summary', repeat('plan ', 100)), NULL, '{}', pg_temp.moment(n), pg_temp.moment(n),
    CASE WHEN n >= 60 THEN pg_temp.moment(n) END, CASE WHEN n BETWEEN 60 AND :tasks - 2000 THEN pg_temp.moment(n) + interval '8 days' END, 3
FROM generate_series(1, :tasks) n;

INSERT INTO runs (task_id, thread_id, state, epoch, attempt) SELECT id, id, 'ended', 3, 3 FROM tasks;

INSERT INTO events (task_id, seq, type, stage, data, created_at)
SELECT id, s, 'log', 'report', '{"level": "info", "message": "something happened"}', created_at FROM tasks, generate_series(1, 3) s;

INSERT INTO events (task_id, seq, type, stage, data) SELECT :many, s, 'log', 'coding', '{"level": "info", "message": "a step"}'
FROM generate_series(4, 1000) s;
UPDATE tasks SET event_count = 1000 WHERE id = :many;

INSERT INTO approvals (id, task_id, user_id, gate, revision, status, title, subject, risk, content_sha256, approvers, votes, created_at, expires_at)
SELECT 'appr_' || id, id, user_id, 'plan', 1, CASE WHEN status = 'plan_review' THEN 'pending' ELSE 'approved' END, 'Go ahead?',
    json_build_object('summary', repeat('plan ', 400)), '{"level": "low", "score": 0.1, "reasons": []}', repeat('0', 64), '[]', '[]', created_at,
    created_at + interval '7 days' FROM tasks;

INSERT INTO pull_requests (id, number, repo, branch, base_commit, head_commit, title, body, draft, state, task_id, user_id, created_at)
SELECT 'pr_' || id, row_number() OVER (PARTITION BY repo ORDER BY id), repo, 'b/' || id, 'c', 'd', 't', repeat('body ', 100), false, 'open', id, user_id, created_at
FROM tasks;

INSERT INTO audit_log (seq, actor, action, task_id, subject, data, previous_hash, hash)
SELECT row_number() OVER (ORDER BY id), 'local', 'task.created', id, id, '{}', '', '' FROM tasks;

INSERT INTO artifacts (task_id, name, media_type, size, sha256) SELECT id, 'change.patch', 'text/x-diff', 1, repeat('0', 64) FROM tasks;
