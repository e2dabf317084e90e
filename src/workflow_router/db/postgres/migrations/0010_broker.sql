-- Reserved: broker.
SELECT 1;
