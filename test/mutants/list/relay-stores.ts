/**
 * Mistakes in the tables of a relay: parked messages, leases, the cursor, replays.
 */
import type { Mutant } from '../mutant.ts';

const PARKING = 'src/relay/delivery/parking-store.ts';
const LEASE_WRITES = 'src/relay/subscription/lease-writes.ts';
const TAKER = 'src/relay/subscription/lease-taker.ts';
const REPLAY = 'src/relay/delivery/replay-store.ts';
const PRUNER = 'src/relay/maintenance/pruner.ts';
const ON_REPLAYS = ['test/relay/replay-predecessors.test.ts'];
const ON_STORES = ['test/relay/stores.test.ts'];

export const RELAY_STORES: readonly Mutant[] = [
  {
    name: 'relay/parking/dead-letter-turned-into-behind',
    file: PARKING,
    from: `
         -- A page that is read again finds its refused message in a blocked key; what is known of it stays.
         WHERE excluded.state = 'failed' OR p.state = 'behind')`,
    to: ')',
    breaks: 'I1: a dead letter whose page is read again goes round for ever, and nobody is told',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/due-one-put-to-sleep',
    file: PARKING,
    from: `ELSE coalesce(p.next_attempt_at, excluded.next_attempt_at) END
`,
    to: `ELSE excluded.next_attempt_at END
`,
    breaks: 'I17: what waits behind nothing any more is never taken up',
    tests: ['test/relay/stores.test.ts', 'test/relay/many-parked-keys.test.ts'],
  },
  {
    name: 'relay/parking/without-the-fence',
    file: PARKING,
    from: '         FROM fence, json_to_recordset($4::json)',
    to: '         FROM json_to_recordset($4::json)',
    breaks: 'I11: a relay that has lost its lease parks messages',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/taken-out-without-the-fence',
    file: PARKING,
    from: `gone AS (DELETE FROM \${this.#table} USING fence WHERE subscription`,
    to: `gone AS (DELETE FROM \${this.#table} WHERE subscription`,
    breaks: 'I11: a relay that has lost its lease takes out what its successor has parked',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/dead-letters-as-orphans',
    file: PARKING,
    from: `    await client.query(
      \`UPDATE \${this.#table} SET next_attempt_at = clock_timestamp()
       WHERE \${this.#mine} AND state = 'behind' AND next_attempt_at IS NULL AND \${orphans}\`,`,
    to: `    await client.query(
      \`UPDATE \${this.#table} SET next_attempt_at = clock_timestamp()
       WHERE \${this.#mine} AND next_attempt_at IS NULL AND \${orphans}\`,`,
    breaks: 'dead letters are published again by each relay that starts',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/behind-is-due',
    file: PARKING,
    from: `WHEN row_number() OVER (PARTITION BY o.key ORDER BY o.seq) = 1 AND coalesce(\${this.#first('o')} > o.seq, true) THEN clock_timestamp() END`,
    to: 'WHEN row_number() OVER (PARTITION BY o.key ORDER BY o.seq) = 1 THEN clock_timestamp() END',
    breaks: 'I3: a message goes out before the parked one of its key',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/next-although-it-failed',
    file: PARKING,
    from: `AND p.seq = n.seq AND n.state = 'behind' RETURNING 1)`,
    to: 'AND p.seq = n.seq RETURNING 1)',
    breaks: 'a message that was refused for good is published again when the one before it went out',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/claim-outlives-it',
    file: PARKING,
    from: 'killed_epochs = excluded.killed_epochs, claim_epoch = NULL, revised_due_at',
    to: 'killed_epochs = excluded.killed_epochs, revised_due_at',
    breaks: 'I19: a message that was refused again can never be edited',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/claim-without-the-fence',
    file: PARKING,
    from: `UPDATE \${this.#table} SET claim_epoch = $3 FROM fence WHERE`,
    to: `UPDATE \${this.#table} SET claim_epoch = $3 WHERE`,
    breaks: 'I11: a relay that has lost its lease claims what its successor publishes',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/edited-brought-by-the-log',
    file: PARKING,
    from: `(reason = ANY ($2) OR revision IS NOT NULL)\``,
    to: `reason = ANY ($2)\``,
    breaks: 'I19: after a crash the log brings a message as it was before somebody edited it',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/killer-brought-by-the-log',
    file: PARKING,
    from: `(reason = ANY ($2) OR revision IS NOT NULL)\``,
    to: `(reason = ANY ($2) AND revision IS NOT NULL)\``,
    breaks: 'I17: a message that was parked because it kills relays is published again',
    tests: ON_STORES,
  },
  {
    name: 'relay/parking/redriven-behind-what-is-not-due',
    file: PARKING,
    from: 'coalesce(next_attempt_at <= statement_timestamp(), false))',
    to: 'coalesce(next_attempt_at <= statement_timestamp(), true))',
    breaks: 'I3: what waits behind a dead letter goes out',
    tests: ['test/relay/stores.test.ts', 'test/relay/revised.test.ts'],
  },
  {
    name: 'relay/parking/redriven-early',
    file: PARKING,
    from: `AND \${column} <= statement_timestamp() AND \${condition}`,
    to: `AND \${column} IS NOT NULL AND \${condition}`,
    breaks: 'parked messages are tried again without a pause',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/write-by-the-name-alone',
    file: LEASE_WRITES,
    from: `WHERE name = $1 AND shard = $2 AND lease_epoch = $3 AND lease_owner IS NOT NULL AND \${where}`,
    to: `WHERE name = $1 AND shard = $2 AND lease_owner IS NOT NULL AND $3::bigint IS NOT NULL AND \${where}`,
    breaks: 'I11: a relay that has lost its lease moves the cursor back',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/given-back-by-a-stranger',
    file: LEASE_WRITES,
    from: `         WHERE name = $1 AND shard = $2 AND lease_epoch = $3\`,`,
    to: `         WHERE name = $1 AND shard = $2 AND $3::bigint IS NOT NULL\`,`,
    breaks: 'I11: a relay that stops late gives back the lease of its successor',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/no-row-is-well',
    file: LEASE_WRITES,
    from: `    if (moved === undefined) {
      tids.delete(id);
      throw subscriptionLeaseLost(key);
    }`,
    to: `    if (moved === undefined) {
      tids.delete(id);
      return;
    }`,
    breaks: 'I11: a relay does not notice that its lease is lost, and publishes on',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/progress-does-not-renew',
    file: LEASE_WRITES,
    from: `trouble = $13, stalls = 0, lost_epochs = NULL, lapsed_epochs = NULL, advanced_at = clock_timestamp(),
         lease_until = clock_timestamp() + $5 * interval '1 millisecond'\``,
    to: `trouble = $13, stalls = 0, advanced_at = clock_timestamp() + 0 * $5::float8 * interval '1 millisecond'\``,
    breaks: 'a busy relay loses its lease',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/deaths-outlive-progress',
    file: LEASE_WRITES,
    from: 'trouble = $13, stalls = 0, lost_epochs = NULL, lapsed_epochs = NULL, advanced_at',
    to: 'trouble = $13, advanced_at',
    breaks: 'I16: some deaths over months have innocent messages probed and parked',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/long-page-not-stored',
    file: LEASE_WRITES,
    from: '          cursor.catchup?.snapshot ?? null,',
    to: '          null,',
    breaks: 'I1: after a crash within a long page of late committers its rest is never delivered',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/mark-outlives-a-stop',
    file: LEASE_WRITES,
    from: `           probe = CASE WHEN probe IS NOT NULL THEN jsonb_set(probe, '{mark}', 'null') END
`,
    to: `           probe = probe
`,
    breaks: 'I16: a stop in the middle of a probe counts as a death of what was being published',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/taken-from-the-living',
    file: TAKER,
    from: `OR \${own} OR lease_until < clock_timestamp())`,
    to: `OR \${own} OR lease_until > clock_timestamp())`,
    breaks: 'I11: two relays publish at once',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/own-by-the-name',
    file: TAKER,
    from: `const own = \`(lease_owner = $3 AND lease_epoch = ANY ($5::bigint[]))\`;`,
    to: `const own = \`(lease_owner = $3 AND $5::bigint[] IS NOT NULL)\`;`,
    breaks: 'I11: two relays that were given one name publish at once',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/epoch-stays',
    file: TAKER,
    from: 'SET lease_owner = $3, lease_epoch = lease_epoch + 1,',
    to: 'SET lease_owner = $3,',
    breaks: 'I11: a relay whose lease was taken over goes on under the same epoch',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/every-takeover-a-death',
    file: TAKER,
    from: `stalls = CASE WHEN lease_owner IS NULL OR \${own} THEN stalls ELSE stalls + 1 END`,
    to: 'stalls = stalls + 1',
    breaks: 'I16: deployments count as deaths, and innocent messages are probed',
    tests: ON_STORES,
  },
  {
    name: 'relay/lease/no-death-counted',
    file: TAKER,
    from: `stalls = CASE WHEN lease_owner IS NULL OR \${own} THEN stalls ELSE stalls + 1 END`,
    to: `stalls = CASE WHEN lease_owner IS NULL OR \${own} THEN stalls ELSE stalls END`,
    breaks: 'I17: a message that kills its relays is never looked for',
    tests: ON_STORES,
  },
  {
    name: 'relay/replay/advanced-without-the-fence',
    file: REPLAY,
    from: '     FROM fence WHERE id = $4 RETURNING',
    to: '     WHERE id = $4 RETURNING',
    breaks: 'I11: a relay that has lost its lease moves a replay on',
    tests: ON_STORES,
  },
  {
    name: 'relay/replay/heads-without-the-fence',
    file: REPLAY,
    from: `'EXISTS (SELECT 1 FROM moved)'`,
    to: `'true'`,
    breaks: 'I11: a relay that has lost its lease says what a replay has sent last',
    tests: ON_STORES,
  },
  {
    name: 'relay/replay/heads-not-kept',
    file: REPLAY,
    from: 'heads?.dirty === true ?',
    to: 'heads?.dirty === false ?',
    breaks: 'I3: what a relay sends of a replay that it took over does not wait for what was sent before',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/refused-for-now-forgotten',
    file: 'src/relay/delivery/replay.ts',
    from: 'if (permanent) forgetHead',
    to: 'if (!permanent) forgetHead',
    breaks: 'I3: a message of a replay overtakes one that the broker refused for now',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/heads-of-the-one-before',
    file: 'src/relay/delivery/replay.ts',
    from: 'if (this.#open?.id !== id) ',
    to: 'if (this.#open === null) ',
    breaks: 'I17: the first messages of a replay wait for what was in another one',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/names-nobody',
    file: 'src/relay/delivery/delivery.ts',
    from: `        ordered && entry.key !== null
          ?`,
    to: `        ordered && entry.key !== null && replay === undefined
          ?`,
    breaks: 'I3: what a broker has left of a replay goes ahead of what the next one brings',
    tests: ['test/inbox/replay-order.test.ts'],
  },
  {
    name: 'relay/replay/names-live-messages',
    file: 'src/relay/delivery/delivery.ts',
    from: 'const heads = replay?.heads ?? session.heads;',
    to: 'const heads = session.heads;',
    breaks: 'I17: a replay waits for messages that come after it',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/without-the-time',
    file: 'src/relay/log/log-reader.ts',
    from: '      tell(Number(header[0]));\n',
    to: '',
    breaks: 'I3: what a new consumer is sent first by a replay has no order',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/heads-pruned-too-soon',
    file: PRUNER,
    from: 'replay WHERE finished_at IS NULL)`,',
    to: 'replay WHERE finished_at IS NOT NULL)`,',
    breaks: 'I3: a replay that is under way forgets what it has sent last',
    tests: ON_REPLAYS,
  },
  {
    name: 'relay/replay/heads-left-by-a-subscription',
    file: 'src/relay/maintenance/drop-subscription.ts',
    from: 'FROM ${s}.replay WHERE subscription = $1)`,',
    to: 'FROM ${s}.replay WHERE subscription <> $1)`,',
    breaks: 'a subscription that is dropped leaves rows behind',
    tests: ON_REPLAYS,
  },
];
