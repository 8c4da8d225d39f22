-- Two roles on PostgreSQL (14 or later): one that owns Stella's tables and migrates them, one that the application runs as. As an administrator:
--
--   psql -d stella -v owner=stella_owner -v application=stella -f deploy/postgres-roles.sql
--   psql -d stella -c '\password stella_owner' -c '\password stella'
--
-- Run it on the installation's own database, before the first start or on one that is in use: it may be run again and changes nothing twice.
-- Then STELLA_DATABASE_URL names the application, everywhere, and STELLA_DATABASE_OWNER_URL the owner, only where migrations run.
-- What the application may do, and why, stands in docs/postgres.md.

\set ON_ERROR_STOP on
BEGIN;

-- The roles. Neither may make roles or databases, replicate, or pass by row security; passwords are set apart, so that none stands in a file.
SELECT format('CREATE ROLE %I', role) FROM (VALUES (:'owner'), (:'application')) AS wanted (role)
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE :"application" LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;

-- The application becomes nobody else.
SELECT format('REVOKE %I FROM %I', held.rolname, member.rolname)
  FROM pg_auth_members JOIN pg_roles held ON held.oid = roleid JOIN pg_roles member ON member.oid = pg_auth_members.member
  WHERE member.rolname = :'application' \gexec

-- The database and the schema of our tables belong to the owner. Nobody may make tables there, or temporary ones that hide ours.
ALTER DATABASE :"DBNAME" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC, :"application";
GRANT CONNECT ON DATABASE :"DBNAME" TO :"application";
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC, :"application";
GRANT USAGE ON SCHEMA public TO :"application";

-- Dagster's tables are the application's own: it makes, upgrades and cleans them, and no evidence is among them.
CREATE SCHEMA IF NOT EXISTS dagster AUTHORIZATION :"application";
ALTER SCHEMA dagster OWNER TO :"application";

-- An installation that one role has made until now: what is ours goes to the owner.
SELECT format('ALTER TABLE public.%I OWNER TO %I', tablename, :'owner') FROM pg_tables WHERE schemaname = 'public' AND tableowner <> :'owner' \gexec
SELECT format('ALTER FUNCTION %s OWNER TO %I', pg_proc.oid::regprocedure, :'owner')
  FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner
  WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'stella\_%' AND rolname <> :'owner' \gexec

-- A table that a later version adds: read and added to, until the migration that makes it has given it its rights.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT SELECT, INSERT ON TABLES TO :"application";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"application";

-- The tables that there are. Everything is read and added to; only these are changed, and no table of evidence is among them
-- but for two: a stream's newest number, which a trigger lets only rise, and what waits for the log, which a trigger keeps until it is there.
-- Who stores a blob again takes it off the list of what a purge removes.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, :"application";
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO :"application";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"application";
SELECT format('REVOKE INSERT ON public.stella_alembic_version FROM %I', :'application') WHERE to_regclass('public.stella_alembic_version') IS NOT NULL \gexec
SELECT format('GRANT %s ON public.%I TO %I', permission, name, :'application')
  FROM (VALUES
    ('blobs_leaving', 'DELETE'),
    ('deployment_ledger', 'UPDATE'),
    ('deployments', 'UPDATE'),
    ('environment_observations', 'UPDATE'),
    ('evidence_heads', 'UPDATE'),
    ('leases', 'UPDATE'),
    ('log_pending', 'DELETE'),
    ('outbox', 'UPDATE'),
    ('overrides', 'UPDATE'),
    ('promotion_evaluations', 'UPDATE'),
    ('promotions', 'UPDATE'),
    ('releases', 'UPDATE, DELETE')
  ) AS changed (name, permission)
  WHERE to_regclass('public.' || name) IS NOT NULL \gexec

COMMIT;
