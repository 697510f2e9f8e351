-- What each version of the workspace was, without write keys and secrets; see workspace/versions.py.
CREATE TABLE workspace_versions (
    version  INTEGER PRIMARY KEY,
    document TEXT NOT NULL            -- JSON, in the shape of a workspace file
);
