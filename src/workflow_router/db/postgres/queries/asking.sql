-- name: asked_relations
-- Relations that a question, made a view, reads.
SELECT DISTINCT c.relname, c.relkind = 'v' AND n.nspname = current_schema() FROM pg_rewrite AS r,
       regexp_matches(r.ev_action::text, '[:]relid ([0-9]+)', 'g') AS f
  JOIN pg_class AS c ON c.oid = f[1]::oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE r.ev_class = 'pg_temp.wr_question'::regclass AND c.oid <> 'pg_temp.wr_question'::regclass;

-- name: asked_functions
-- Those of its functions that may read other things than their arguments: only some are known to be harmless.
SELECT p.proname FROM pg_rewrite AS r,
       regexp_matches(r.ev_action::text, '[:](funcid|aggfnoid|winfnoid|opfuncid) ([0-9]+)', 'g') AS f
  JOIN pg_proc AS p ON p.oid = f[2]::oid
 WHERE r.ev_class = 'pg_temp.wr_question'::regclass AND p.provolatile <> 'i'
   AND p.proname NOT IN ('now', 'to_char', 'to_timestamp', 'date_trunc', 'date_part', 'extract', 'timezone', 'concat',
                         'concat_ws', 'format', 'json_agg', 'jsonb_agg', 'json_object_agg', 'jsonb_object_agg',
                         'to_json', 'to_jsonb', 'array_to_string', 'string_agg');
