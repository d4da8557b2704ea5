-- The orders of long lists. Each list also compares the id, so that equal rows have an order.
CREATE INDEX users_name ON users (LOWER(name), id);
CREATE INDEX workspaces_name ON workspaces (LOWER(name), id);
CREATE INDEX projects_title ON projects (workspace_id, LOWER(title), id);
CREATE INDEX projects_updated ON projects (workspace_id, updated_at, id);
