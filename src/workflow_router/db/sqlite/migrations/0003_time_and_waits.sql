-- Reserved: time and waits.
SELECT 1;
