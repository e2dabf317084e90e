-- Reserved: event targets.
SELECT 1;
