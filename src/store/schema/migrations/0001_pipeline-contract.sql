-- Nothing: the shared tables are made by ../shared-tables.sql, and only in the pipeline `standalone`. Databases that were
-- migrated before know this name, so it stays.
select;
