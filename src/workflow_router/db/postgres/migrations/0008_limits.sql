-- Reserved: limits.
SELECT 1;
