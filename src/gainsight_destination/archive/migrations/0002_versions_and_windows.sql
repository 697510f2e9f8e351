-- A file is known by its size and version: the time of its last change, or an object's ETag. How far it was taken in is
-- known per window, since lines outside a window are left out: --since and --until, or the whole of time.

CREATE TABLE progress_of_windows (
    source_id    INTEGER NOT NULL,
    name         TEXT NOT NULL,       -- absolute path, or s3://bucket/key
    since_ms     INTEGER NOT NULL,
    until_ms     INTEGER NOT NULL,    -- not of the window any more
    size_bytes   INTEGER NOT NULL,    -- of the file then; another size or version is another file
    version      TEXT NOT NULL,
    offset_bytes INTEGER NOT NULL,    -- after inflating
    lines        INTEGER NOT NULL,
    complete     INTEGER NOT NULL,
    PRIMARY KEY (source_id, name, since_ms, until_ms)
) WITHOUT ROWID;

INSERT INTO progress_of_windows
SELECT source_id, path, -62135596800000, 253402300800000, size_bytes, CAST(modified_ns AS TEXT),
       offset_bytes, lines, complete
FROM progress;

DROP TABLE progress;
ALTER TABLE progress_of_windows RENAME TO progress;
