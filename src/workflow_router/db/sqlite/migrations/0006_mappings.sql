-- Reserved: mappings.
SELECT 1;
