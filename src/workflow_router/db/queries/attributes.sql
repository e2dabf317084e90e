-- name: set_attribute
INSERT INTO run_attributes (run_id, name, kind, text, number) VALUES (:run_id, :name, :kind, :text, :number)
ON CONFLICT (run_id, name) DO UPDATE SET kind = excluded.kind, text = excluded.text, number = excluded.number;
