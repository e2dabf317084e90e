-- name: ask_pause
INSERT INTO pauses (run_id, actor) VALUES (:run_id, :actor) ON CONFLICT (run_id) DO NOTHING;

-- name: forget_pause
DELETE FROM pauses WHERE run_id = :run_id;
