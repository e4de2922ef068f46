-- Bundles of cells as they stand in their folders, so that a score and a report need the database alone.

create table cab.bundle_files (
    runs text not null,
    bundle text not null,
    file text not null,
    sha256 bytea not null,
    content bytea not null,
    shipped_at timestamptz not null default now(),
    primary key (runs, bundle, file)
);
comment on table cab.bundle_files is 'Files of finished cells; bundle is the folder below the folder of the runs';
