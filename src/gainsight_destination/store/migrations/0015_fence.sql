-- Which engine is in charge: each takes the next number, and fences out those before it; see store/fence.py.
ALTER TABLE reader ADD COLUMN term INTEGER NOT NULL DEFAULT 0;
