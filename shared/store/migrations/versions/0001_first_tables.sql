CREATE SEQUENCE message_positions;

CREATE TABLE audit_log (
    seq BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    task_id TEXT,
    subject TEXT NOT NULL,
    data JSON NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (seq)
);

CREATE INDEX ix_audit_log_task_id ON audit_log (task_id, seq);

CREATE TABLE idempotency_keys (
    user_id TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status INTEGER,
    body JSON,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, key)
);

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE projects (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    repo TEXT NOT NULL,
    default_branch TEXT,
    settings JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_projects PRIMARY KEY (id)
);

CREATE INDEX ix_projects_user_id_created_at ON projects (user_id, created_at, id);

CREATE INDEX ix_projects_user_id_repo ON projects (user_id, repo);

CREATE TABLE sessions (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT,
    title TEXT NOT NULL,
    draft JSON,
    context JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE SET NULL
);

CREATE INDEX ix_sessions_project_id ON sessions (project_id);

CREATE INDEX ix_sessions_user_id_updated_at ON sessions (user_id, updated_at, id);

CREATE TABLE messages (
    id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    position BIGINT DEFAULT nextval('message_positions') NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    metadata JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (id),
    CONSTRAINT fk_messages_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
);

CREATE INDEX ix_messages_session_id_position ON messages (session_id, position);

CREATE TABLE tasks (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT,
    session_id TEXT,
    title TEXT NOT NULL,
    prompt TEXT NOT NULL,
    repo TEXT NOT NULL,
    branch TEXT,
    base_branch TEXT,
    base_commit TEXT,
    workflow TEXT NOT NULL,
    request JSON NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    plan JSON,
    diff_summary JSON,
    test_results JSON,
    pr_url TEXT,
    outcome TEXT,
    cost JSON NOT NULL,
    error JSON,
    waiting_for TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    event_count BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_tasks PRIMARY KEY (id),
    CONSTRAINT fk_tasks_project_id FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE SET NULL,
    CONSTRAINT fk_tasks_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE SET NULL
);

CREATE INDEX ix_tasks_created_at ON tasks (created_at, id);

CREATE INDEX ix_tasks_project_id_created_at ON tasks (project_id, created_at, id);

CREATE INDEX ix_tasks_session_id_created_at ON tasks (session_id, created_at, id);

CREATE INDEX ix_tasks_user_id_created_at ON tasks (user_id, created_at, id);

CREATE TABLE approvals (
    id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    gate TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    title TEXT NOT NULL,
    subject JSON NOT NULL,
    risk JSON NOT NULL,
    content_sha256 TEXT NOT NULL,
    approvers JSON NOT NULL,
    votes JSON NOT NULL,
    decision JSON,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    decided_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_approvals PRIMARY KEY (id),
    CONSTRAINT fk_approvals_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_approvals_created_at ON approvals (created_at, id);

CREATE INDEX ix_approvals_task_id_created_at ON approvals (task_id, created_at);

CREATE UNIQUE INDEX uq_approvals_one_pending ON approvals (task_id, gate) WHERE status = 'pending';

CREATE TABLE artifacts (
    task_id TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_artifacts PRIMARY KEY (task_id, name),
    CONSTRAINT fk_artifacts_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_artifacts_sha256 ON artifacts (sha256);

CREATE TABLE effects (
    key TEXT NOT NULL,
    task_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    intent JSON NOT NULL,
    result JSON,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_effects PRIMARY KEY (key),
    CONSTRAINT fk_effects_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_effects_task_id ON effects (task_id, created_at);

CREATE TABLE events (
    task_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    type TEXT NOT NULL,
    stage TEXT NOT NULL,
    data JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (task_id, seq),
    CONSTRAINT fk_events_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE TABLE outbox (
    id TEXT NOT NULL,
    task_id TEXT,
    channel TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload JSON NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_error TEXT,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT fk_outbox_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_outbox_pending ON outbox (next_attempt_at) WHERE state = 'pending';

CREATE TABLE pull_requests (
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    repo TEXT NOT NULL,
    branch TEXT NOT NULL,
    base_branch TEXT,
    base_commit TEXT NOT NULL,
    head_commit TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    draft BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_pull_requests PRIMARY KEY (id),
    CONSTRAINT uq_pull_requests_repo_number UNIQUE (repo, number),
    CONSTRAINT uq_pull_requests_task_id_branch UNIQUE (task_id, branch),
    CONSTRAINT fk_pull_requests_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_pull_requests_created_at ON pull_requests (created_at, id);

CREATE TABLE runs (
    task_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    worker TEXT,
    worker_pid INTEGER,
    worker_host TEXT,
    heartbeat_at TIMESTAMP WITH TIME ZONE,
    checkpoint_id TEXT,
    cancel_requested BOOLEAN DEFAULT false NOT NULL,
    poison_count INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (task_id),
    CONSTRAINT ck_runs_state CHECK (state IN ('idle', 'queued', 'running', 'ended')),
    CONSTRAINT fk_runs_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE INDEX ix_runs_running_heartbeat_at ON runs (heartbeat_at) WHERE state = 'running';

ALTER SEQUENCE message_positions OWNED BY messages.position;

-- The audit log only grows. Its triggers fire for the owner too.
CREATE FUNCTION audit_log_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log cannot be changed' USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER audit_log_keeps_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuses();

CREATE TRIGGER audit_log_keeps_all BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuses();
