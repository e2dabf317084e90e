-- Reserved: many processes.
SELECT 1;
