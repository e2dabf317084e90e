-- name: trace_correlation
-- The root of the tree that an id belongs to; an id that is a root comes first.
SELECT found.correlation FROM (
  SELECT 1 AS place, correlation FROM audit_log WHERE correlation = :id
  UNION ALL
  SELECT 2, coalesce(correlation, id) FROM runs WHERE id = :id
  UNION ALL
  SELECT 3, coalesce(d.correlation, r.correlation) FROM dispatches AS d LEFT JOIN runs AS r ON r.id = d.run_id WHERE d.id = :id
  UNION ALL
  SELECT 4, coalesce(a.correlation, r.correlation) FROM approvals AS a LEFT JOIN runs AS r ON r.id = a.run_id WHERE a.id = :id
  UNION ALL
  SELECT 5, correlation FROM audit_log
   WHERE subject = :id AND kind IN ('message.published', 'event.accepted') AND subject <> correlation
  UNION ALL
  SELECT 6, correlation FROM audit_log WHERE run_id = :id AND run_id IS DISTINCT FROM correlation
) AS found WHERE found.correlation IS NOT NULL ORDER BY found.place LIMIT 1;
