-- name: asked_relations
-- What there is that a question could name.
SELECT name FROM sqlite_schema;

-- name: asked_functions
-- The functions that there are; the authorizer looks at those of a question.
SELECT name FROM pragma_function_list;
