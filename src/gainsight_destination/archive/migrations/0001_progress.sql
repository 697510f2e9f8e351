-- How far each archive file was taken in, per source. Written after what was read is durable in the event log.

CREATE TABLE progress (
    source_id    INTEGER NOT NULL,
    path         TEXT NOT NULL,       -- absolute
    size_bytes   INTEGER NOT NULL,    -- of the file then; another size or time is another file
    modified_ns  INTEGER NOT NULL,
    offset_bytes INTEGER NOT NULL,    -- after inflating
    lines        INTEGER NOT NULL,
    complete     INTEGER NOT NULL,
    PRIMARY KEY (source_id, path)
) WITHOUT ROWID;
