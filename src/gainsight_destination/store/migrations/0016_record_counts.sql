-- How many records there are of each kind, kept as they change: no page counts all of them. See records/counts.py.
CREATE TABLE record_counts (
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    state          TEXT NOT NULL,
    presence       TEXT NOT NULL,
    priority       INTEGER NOT NULL,
    batch_limit    INTEGER NOT NULL,    -- 0: that of the object
    records        INTEGER NOT NULL,
    PRIMARY KEY (destination_id, object, state, presence, priority, batch_limit)
) WITHOUT ROWID;
INSERT INTO record_counts
SELECT destination_id, object, state, presence, priority, coalesce(batch_limit, 0), count(*)
FROM records GROUP BY 1, 2, 3, 4, 5, 6;

-- New records are counted in bulk, by who creates them; a trigger for each would cost the resolver too much.
CREATE TRIGGER records_changed AFTER UPDATE OF state, presence, priority, batch_limit ON records
WHEN old.state <> new.state OR old.presence <> new.presence OR old.priority <> new.priority
    OR old.batch_limit IS NOT new.batch_limit
BEGIN
    UPDATE record_counts SET records = records - 1
    WHERE destination_id = old.destination_id AND object = old.object AND state = old.state
        AND presence = old.presence AND priority = old.priority AND batch_limit = coalesce(old.batch_limit, 0);
    INSERT INTO record_counts
    VALUES (new.destination_id, new.object, new.state, new.presence, new.priority, coalesce(new.batch_limit, 0), 1)
    ON CONFLICT DO UPDATE SET records = records + 1;
END;
CREATE TRIGGER records_forgotten AFTER DELETE ON records
BEGIN
    UPDATE record_counts SET records = records - 1
    WHERE destination_id = old.destination_id AND object = old.object AND state = old.state
        AND presence = old.presence AND priority = old.priority AND batch_limit = coalesce(old.batch_limit, 0);
END;
