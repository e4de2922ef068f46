-- Each call once, by the rules of docs/ledger.md: its first END, else its START.

create view cab.counted_lines as
with ends as (
    select l.*, row_number() over (
        partition by l.call_id, l.cell_id
        order by l.ledger, substr(l.chain, 2)::bigint, l.segment, l.line
    ) as place
    from cab.lines l
    where l.kind = 'end' and l.adds_calls is not null
),
begun as (
    -- A START is beside nothing that says more of its call; so is what is left of a damaged line.
    select distinct on (l.call_id) l.*, 1::bigint as place
    from cab.lines l
    where l.adds_calls is not null
        and (l.kind = 'start' or (l.kind is null and l.damage is not null))
        and not exists (
            select from cab.lines e where e.kind = 'end' and e.call_id = l.call_id
        )
    order by l.call_id, (l.kind is not distinct from 'start') desc, l.ledger,
        substr(l.chain, 2)::bigint desc, l.segment desc, l.line desc
)
select * from ends where place = 1 or call_id is null
union all
select * from begun;
comment on view cab.counted_lines is 'Each call once, with what it adds to sums';

create view cab.calls as
select encode(ledger, 'hex') as ledger, chain, segment, line, call_id, cell_id, key_id, seq,
    started_at, ended_at, endpoint, model_requested, model_served, status, end_reason, attempt,
    usage_source, usage_status, prompt_tokens, completion_tokens, total_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, cost_usd, price_source, latency_ms, ttft_ms, queued_ms, doc
from cab.counted_lines where kind = 'end';
comment on view cab.calls is 'END records, each call once';

create view cab.unended_calls as
select encode(ledger, 'hex') as ledger, chain, segment, line, damage, call_id, cell_id, key_id,
    started_at, endpoint, model_requested
from cab.counted_lines where kind is distinct from 'end';
comment on view cab.unended_calls is
    'Calls under way, and damaged lines of calls without an END: their cost is not known';

-- A cell that was opened or sealed and has no call has zeros, which are measured ones.
create view cab.cell_parts as
select cell_id, started_at,
    adds_calls, adds_attempts, adds_repetitions, adds_partial, adds_rejected, adds_prompt,
    adds_prompt_unknown, adds_completion, adds_completion_unknown, adds_total, adds_total_unknown,
    adds_total_least, adds_total_bounded, adds_total_at_most, adds_cache_read,
    adds_cache_read_unknown, adds_cache_write, adds_cache_write_unknown, adds_reasoning,
    adds_reasoning_unknown, adds_cost, adds_cost_unknown, adds_latency_ms, adds_latency_unknown
from cab.counted_lines
union all
select distinct cell_id, null::timestamptz,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
from cab.lines where kind in ('cell_open', 'cell_seal') and cell_id is not null;
comment on view cab.cell_parts is 'What each cell adds up: its calls, and zeros where it was opened or sealed';

-- The same sums for each way to group calls. A sum is null where a part of it is not known.
do $make_views$
declare
    sums constant text := $sums$
        sum(adds_calls)::bigint as calls,
        sum(adds_attempts)::bigint as attempts,
        sum(adds_repetitions)::bigint as repetitions,
        sum(adds_total_unknown)::bigint as unmeasured,
        sum(adds_partial)::bigint as partial,
        sum(adds_rejected)::bigint as rejected,
        case when sum(adds_prompt_unknown) = 0 then sum(adds_prompt)::bigint end as prompt_tokens,
        case when sum(adds_completion_unknown) = 0
            then sum(adds_completion)::bigint end as completion_tokens,
        case when sum(adds_total_unknown) = 0 then sum(adds_total)::bigint end as total_tokens,
        sum(adds_total)::bigint as known_total_tokens,
        case when sum(adds_total_unknown) + sum(adds_total_least) <= sum(adds_total_bounded)
            then (sum(adds_total) + sum(adds_total_at_most))::bigint end as upper_total_tokens,
        case when sum(adds_cache_read_unknown) = 0
            then sum(adds_cache_read)::bigint end as cache_read_tokens,
        case when sum(adds_cache_write_unknown) = 0
            then sum(adds_cache_write)::bigint end as cache_write_tokens,
        case when sum(adds_reasoning_unknown) = 0
            then sum(adds_reasoning)::bigint end as reasoning_tokens,
        case when sum(adds_cost_unknown) = 0 then sum(adds_cost) end as cost_usd,
        sum(adds_cost) as known_cost_usd,
        case when sum(adds_latency_unknown) = 0
            then sum(adds_latency_ms)::double precision end as latency_ms,
        min(started_at) filter (where adds_calls = 1) as first_at,
        max(started_at) filter (where adds_calls = 1) as last_at
    $sums$;
    made record;
begin
    for made in
        select * from (values
            ('cells', 'cell_id', 'cell_parts'),
            ('keys', 'key_id', 'counted_lines'),
            ('models', 'coalesce(model_served, model_requested) as model', 'counted_lines'),
            ('days', '(started_at at time zone ''UTC'')::date as day', 'counted_lines')
        ) as wanted (name, grouped, source)
    loop
        execute format('create view cab.%I as select %s, %s from cab.%I group by 1',
            made.name, made.grouped, sums, made.source);
    end loop;
end $make_views$;
comment on view cab.cells is 'Sums by cell: what cab ledger calls --by-cell prints';
comment on view cab.keys is 'Sums by the key that calls were made with';
comment on view cab.models is 'Sums by model: the one that answered, else the one that was asked for';
comment on view cab.days is 'Sums by the day in UTC on which calls began';

create view cab.ledgers as
select encode(folder, 'hex') as ledger, min(name) as name, count(*) as chains,
    min(first_shipped_at) as first_shipped_at, max(shipped_at) as shipped_at
from cab.chains group by folder;
comment on view cab.ledgers is 'The ledgers that were shipped here, and when anything of them was shipped last';
