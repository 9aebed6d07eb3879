/**
 * Mistakes in how a relay reads, brings out and prunes the log, and takes its shards.
 */
import type { Mutant } from '../mutant.ts';

const PRUNER = 'src/relay/maintenance/pruner.ts';
const READER = 'src/relay/log/log-reader.ts';
const HEADS = 'src/relay/subscription/key-heads.ts';
const DISPATCHER = 'src/relay/delivery/dispatcher.ts';
const DELIVERY = 'src/relay/delivery/delivery.ts';
const REDRIVE = 'src/relay/delivery/redrive.ts';
const HELD = 'src/relay/delivery/held-shard.ts';
const ROWS = 'src/relay/subscription/shard-rows.ts';
const SCHEDULER = 'src/relay/maintenance/scheduler.ts';

export const RELAY_LOG: readonly Mutant[] = [
  {
    name: 'relay/prune/beyond-the-slowest',
    file: PRUNER,
    from: 'SELECT min(high) AS high, clock_timestamp()',
    to: 'SELECT max(high) AS high, clock_timestamp()',
    breaks: 'I1: what a slower subscription has not delivered is deleted',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/shortest-retention',
    file: PRUNER,
    from: 'clock_timestamp() - max(retention) AS before',
    to: 'clock_timestamp() - min(retention) AS before',
    breaks: 'messages are deleted before the longest retention is over',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/late-ones',
    file: PRUNER,
    from: `            OR NOT EXISTS (SELECT 1 FROM \${s}.subscription u WHERE c.seq > u.floor AND NOT pg_visible_in_snapshot(c.xid, u.snapshot)))`,
    to: `            OR EXISTS (SELECT 1 FROM \${s}.subscription u WHERE c.seq > u.floor AND pg_visible_in_snapshot(c.xid, u.snapshot)))`,
    breaks: 'I1: a message that was committed late is deleted before the slower subscription has seen it',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/parked',
    file: PRUNER,
    from: `          AND c.seq NOT IN (SELECT seq FROM parked)
`,
    to: '',
    breaks: 'I1: the bodies of parked messages are deleted',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/replayed',
    file: PRUNER,
    from: '          AND NOT EXISTS (SELECT 1 FROM replayed r WHERE c.seq BETWEEN r.position AND r.to_seq)))',
    to: '          AND NOT EXISTS (SELECT 1 FROM replayed r WHERE c.seq BETWEEN r.position AND r.to_seq - 1)))',
    breaks: 'I19: a replay that is under way finds nothing',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/finished-replays-kept',
    file: PRUNER,
    from: `WHERE finished_at IS NULL),
    gone`,
    to: `WHERE finished_at IS NOT NULL),
    gone`,
    breaks: 'I19: a replay that is under way finds nothing',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/young-ones',
    file: PRUNER,
    from: `SELECT c.place FROM chunk c WHERE NOT c.young
`,
    to: `SELECT c.place FROM chunk c WHERE (NOT c.young OR c.seq < (SELECT max(seq) FROM chunk))
`,
    breaks: 'messages are deleted before the retention is over',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/prune/heads-of-others',
    file: PRUNER,
    from: `WHERE h.subscription = u.name AND h.published_at < clock_timestamp() - u.retention\``,
    to: `WHERE u.name IS NOT NULL AND h.published_at < clock_timestamp() - u.retention\``,
    breaks: 'I3: the heads of keys of a subscription with a longer retention are forgotten',
    tests: ['test/relay/retention-needed.test.ts'],
  },
  {
    name: 'relay/log/ended-ones-unread',
    file: READER,
    from: 'WHERE xid >= $2::text::xid8 AND seq + 0 > $4::bigint',
    to: 'WHERE xid > $2::text::xid8 AND seq + 0 > $4::bigint',
    breaks: 'I1: a message of the transaction at the border of the snapshot is never delivered',
    tests: ['test/relay/log-reader.test.ts'],
  },
  {
    name: 'relay/log/cut-page-is-whole',
    file: READER,
    from: 'count(*) >= $6::int OR count(*) < (SELECT count(*) FROM low_scan) AS cut FROM low',
    to: 'count(*) >= $6::int AS cut FROM low',
    breaks: 'I1: the rest of a page of late committers that was cut by its bytes is never delivered',
    tests: ['test/relay/log-reader.test.ts'],
  },
  {
    name: 'relay/log/high-before-low',
    file: READER,
    from: 'SELECT CASE WHEN cut THEN 0 ELSE $6::int - rows END FROM low_facts',
    to: 'SELECT $6::int - least(rows, $6::int - 1) FROM low_facts',
    breaks: 'I3: what followed from a late message goes out before its rest',
    tests: ['test/relay/log-reader.test.ts'],
  },
  {
    name: 'relay/heads/not-with-the-page',
    file: HEADS,
    from: `      this.#dirty.set(id, head);
`,
    to: '',
    breaks: 'I3: after a takeover a message names no predecessor, and an ordered consumer lets it overtake',
    tests: ['test/relay/operations.test.ts'],
  },
  {
    name: 'relay/heads/refused-one-followed',
    file: HEADS,
    from: `    if (entry?.head.id !== message.id) return;
    if (entry.before === null)`,
    to: `    if (entry?.head.id === message.id) return;
    if (entry === undefined || entry.before === null)`,
    breaks: 'I17: an ordered consumer waits for a message that was parked',
    tests: ['test/relay/operations.test.ts'],
  },
  {
    name: 'relay/heads/second-try-follows-the-first',
    file: HEADS,
    from: `    if (first !== undefined) return first ?? undefined;
`,
    to: '',
    breaks: 'I17: a message that is sent again within its page follows itself or a later one',
    tests: ['test/relay/operations.test.ts'],
  },
  {
    name: 'relay/dispatcher/outlasts-the-lease',
    file: DISPATCHER,
    from: 'Math.min(subscription.publishTimeoutMs, await session.leaseLeftMs())',
    to: 'subscription.publishTimeoutMs',
    breaks: 'I11: a call to the broker outlasts the lease, and two relays publish at once',
    tests: ['test/relay/lease.test.ts'],
  },
  {
    name: 'relay/delivery/refused-counts-as-gone',
    file: DELIVERY,
    from: `    if (subscription.keepsOrder && entry.key !== null) session.blocked.add(entry.key);
`,
    to: '',
    breaks: 'I3: a message overtakes the one of its key that was just parked',
    tests: ['test/relay/parking.test.ts'],
  },
  {
    name: 'relay/delivery/unrouted-redriven-as-gone',
    file: REDRIVE,
    from: 'const staying = new Set([...unrouted, ...refused.map(([entry]) => entry)]);',
    to: 'const staying = new Set(refused.map(([entry]) => entry));',
    breaks: 'I1: a parked message that no route has is taken out, and nobody got it',
    tests: ['test/relay/no-destination.test.ts'],
  },
  {
    name: 'relay/shard/keys-unknown',
    file: 'src/relay/delivery/takeover.ts',
    from: `    session.blocked = await parking.blockedKeys(session.writeClient);
`,
    to: '',
    breaks: 'I3: after a takeover messages overtake parked ones of their keys',
    tests: ['test/relay/parking.test.ts'],
  },
  {
    name: 'relay/shard/mark-left-behind',
    file: HELD,
    from: '    if (marked || this.#pages.isCut) await session.flush();',
    to: '    if (this.#pages.isCut) await session.flush();',
    breaks: 'I16: a death of another cause parks a message that went out well',
    tests: ['test/relay/takeover.test.ts'],
  },
  {
    name: 'relay/shards/epoch-used-again',
    file: ROWS,
    from: 'const epoch = Math.max(...rows.map((row) => Number(row.lease_epoch)));',
    to: 'const epoch = Math.min(0, ...rows.map((row) => Number(row.lease_epoch)));',
    breaks: 'I11: a relay that slept through a change of shards goes on under its old epoch',
    tests: ['test/relay/takeover.test.ts'],
  },
  {
    name: 'relay/shards/taken-from-who-runs',
    file: ROWS,
    from: '    else if (look > MOST_LOOKS || found.some((row) => row.held)) throw shardsMismatch(name, shards, found);',
    to: '    else if (look > MOST_LOOKS) throw shardsMismatch(name, shards, found);',
    breaks: 'I3: two numbers of shards run at once',
    tests: ['test/relay/lease.test.ts'],
  },
  {
    name: 'relay/scheduler/due-soon',
    file: SCHEDULER,
    from: `const due = \`WHERE due_at <= statement_timestamp() AND`,
    to: `const due = \`WHERE due_at <= statement_timestamp() + interval '1 day' AND`,
    breaks: 'I12: delayed messages go out early',
    tests: ['test/relay/relay.test.ts'],
  },
  {
    name: 'relay/scheduler/known-one-written',
    file: SCHEDULER,
    from: 'FROM due WHERE id NOT IN (SELECT id FROM known)),',
    to: 'FROM due),',
    breaks: 'I17: a scheduled message whose id is in the log keeps all others from it',
    tests: ['test/relay/relay.test.ts'],
  },
  {
    name: 'relay/dispatcher/outage-parks',
    file: DISPATCHER,
    from: '        await this.#waitOut(error, failures, signal);',
    to: `        return batch.map(() => ({ kind: 'refused', permanent: true, error: error as Error }));`,
    breaks: 'I16: an outage of the broker parks messages',
    tests: ['test/relay/transport-defects.test.ts'],
  },
];
