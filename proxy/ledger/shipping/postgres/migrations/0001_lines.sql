-- The lines of ledgers as they stand in their segments, with columns beside them to ask for.
-- What a line adds to a sum (adds_...) is computed by the code that adds up ledgers, not here.

create table cab.chains (
    ledger bytea primary key check (length(ledger) = 32),
    chain text not null,
    folder bytea not null,
    name text not null,
    segment bigint not null,
    line bigint not null,
    begin_byte bigint not null,
    end_byte bigint not null,
    sha256 bytea not null,
    rewound_from bigint,
    first_shipped_at timestamptz not null default now(),
    shipped_at timestamptz not null default now()
);
comment on table cab.chains is 'Chains of ledgers, and how far each was shipped; ledger is the hash of the first record';
comment on column cab.chains.folder is 'ledger of the first chain of the same folder';
comment on column cab.chains.rewound_from is 'Segment from which the ledger has other lines than were shipped first';

create table cab.lines (
    ledger bytea not null,
    chain text not null,
    segment bigint not null,
    line bigint not null,
    part integer not null,
    month date not null,
    raw bytea not null,
    doc jsonb,
    damage text,
    kind text,
    call_id text,
    cell_id text,
    key_id text,
    seq bigint,
    started_at timestamptz,
    ended_at timestamptz,
    endpoint text,
    model_requested text,
    model_served text,
    status integer,
    end_reason text,
    attempt bigint,
    usage_source text,
    usage_status text,
    prompt_tokens bigint,
    completion_tokens bigint,
    total_tokens bigint,
    cache_read_tokens bigint,
    cache_write_tokens bigint,
    reasoning_tokens bigint,
    cost_usd numeric,
    price_source text,
    latency_ms double precision,
    ttft_ms double precision,
    queued_ms double precision,
    adds_calls bigint,
    adds_attempts bigint,
    adds_repetitions bigint,
    adds_partial bigint,
    adds_rejected bigint,
    adds_prompt bigint,
    adds_prompt_unknown bigint,
    adds_completion bigint,
    adds_completion_unknown bigint,
    adds_total bigint,
    adds_total_unknown bigint,
    adds_total_least bigint,
    adds_total_bounded bigint,
    adds_total_at_most bigint,
    adds_cache_read bigint,
    adds_cache_read_unknown bigint,
    adds_cache_write bigint,
    adds_cache_write_unknown bigint,
    adds_reasoning bigint,
    adds_reasoning_unknown bigint,
    adds_cost numeric,
    adds_cost_unknown bigint,
    adds_latency_ms numeric,
    adds_latency_unknown bigint,
    shipped_at timestamptz not null default now(),
    primary key (ledger, chain, segment, line, part, month)
) partition by range (month);
comment on table cab.lines is 'One row per line of a ledger; raw has its bytes, newline included';
comment on column cab.lines.doc is 'The line as JSON; null where it is damaged, or where jsonb cannot hold it (\u0000)';
comment on column cab.lines.damage is 'Why the line is not a record; null for a record';
comment on column cab.lines.month is 'Of the start, else of the end or of the record; 1970-01-01 where no time can be read';

create index lines_by_cell on cab.lines using hash (cell_id);
create index lines_by_start on cab.lines using brin (started_at);

create table cab.replaced_lines (
    ledger bytea not null,
    chain text not null,
    segment bigint not null,
    line bigint not null,
    part integer not null,
    raw bytea not null,
    replaced_at timestamptz not null default now()
);
comment on table cab.replaced_lines is 'Lines that were shipped, and that the ledger does not have there any more';

create function cab.as_json(raw bytea) returns jsonb language plpgsql immutable strict parallel safe as $$
begin
    return convert_from(raw, 'UTF8')::jsonb;
exception when others then
    return null;
end $$;
comment on function cab.as_json is 'The JSON in some bytes; null where jsonb cannot hold it';

create function cab.add_month(wanted date) returns void language plpgsql as $$
declare
    name text := 'lines_' || to_char(wanted, 'YYYY_MM');
begin
    if to_regclass('cab.' || name) is not null then
        return;
    end if;
    -- Attaching lets readers go on; CREATE TABLE ... PARTITION OF would not.
    execute format('create table cab.%I (like cab.lines including all)', name);
    execute format('alter table cab.lines attach partition cab.%I for values from (%L) to (%L)',
        name, wanted, (wanted + interval '1 month')::date);
    perform cab.allow_readers();
end $$;
comment on function cab.add_month is 'Makes the partition of a month; it is called under the lock of migrations';

create function cab.allow_readers() returns void language plpgsql as $$
begin
    if exists (select from pg_roles where rolname = 'cab_reader') then
        execute 'grant usage on schema cab to cab_reader';
        execute 'grant select on all tables in schema cab to cab_reader';
    end if;
end $$;
comment on function cab.allow_readers is 'Lets the role cab_reader read all that there is now';

do $$
begin
    if not exists (select from pg_roles where rolname = 'cab_reader') then
        create role cab_reader nologin;
    end if;
exception when insufficient_privilege or duplicate_object or unique_violation then
    raise notice 'role cab_reader is missing: have an administrator run CREATE ROLE cab_reader NOLOGIN';
end $$;
