-- The events about one object, such as a key.
CREATE INDEX audit_events_target ON audit_events (target, seq);
-- The events of one action in one workspace, such as its refused requests.
CREATE INDEX audit_events_workspace_action ON audit_events (workspace_id, action, seq);
-- The changes of one workspace, and those of the installation. Refused requests and sign-ins outnumber them.
CREATE INDEX audit_events_changes ON audit_events (workspace_id, seq)
    WHERE action NOT IN ('request.refuse', 'session.confirm', 'session.create', 'session.end', 'session.end_others');
