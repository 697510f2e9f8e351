-- How much of the log was read in bytes too, so that what is unread is known without looking at it.

ALTER TABLE read_messages ADD COLUMN body_bytes INTEGER;    -- NULL: not counted yet, see eventlog/backlog.py
