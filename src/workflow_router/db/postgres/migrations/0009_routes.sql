-- Reserved: routes.
SELECT 1;
