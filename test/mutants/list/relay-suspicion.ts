/**
 * Mistakes in what a relay makes of the relays before it: which of them died, of what, and which only stood still.
 */
import type { Mutant } from '../mutant.ts';

const POISON = 'src/relay/subscription/poison.ts';
const LEASE_CLOCK = 'src/relay/subscription/lease-clock.ts';

export const RELAY_SUSPICION: readonly Mutant[] = [
  {
    name: 'relay/poison/parked-at-the-first-death',
    file: POISON,
    from: `  const killed = crashes >= CRASHES_BEFORE_PARKING;`,
    to: `  const killed = crashes >= CRASHES_BEFORE_PARKING - 1;`,
    breaks: 'I16: one death of a process parks the message that it was publishing',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/deaths-of-any-message',
    file: POISON,
    from: `mark.seqs.every((seq, index) => seq === seqs[index]);`,
    to: `mark.seqs.length === 1;`,
    breaks: 'I16: two deaths at two messages park the second one',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/word-not-heard',
    file: POISON,
    from: `  return { seqs, crashes: crashes + 1 - alive, epochs: silent, lapses: lapses + alive };`,
    to: `  return { seqs, crashes: crashes + 1, epochs: silent, lapses };`,
    breaks: 'I16: relays that stood still and live have the message parked that they were publishing',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/word-of-anybody',
    file: POISON,
    from: `  const silent = epochs.filter((epoch) => !lapsed.includes(epoch));`,
    to: `  const silent = lapsed.length > 0 ? [] : epochs;`,
    breaks: 'I17: where one relay stood still, another one that a message kills counts as alive',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/held-up-for-ever',
    file: POISON,
    from: `  if (!killed && crashes + lapses < LOSSES_BEFORE_PARKING)`,
    to: `  if (!killed)`,
    breaks: 'I17: a message that blocks its relay for longer than a lease holds up all others for ever',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/lapses-count-nothing',
    file: POISON,
    from: `  return stalls + Math.floor(lapsed.length / 2);`,
    to: `  return stalls;`,
    breaks: 'I17: a message that blocks its relay for longer than a lease is never looked for',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/lease/long-at-once',
    file: LEASE_CLOCK,
    from: `Math.max(lapses - 1, 0)`,
    to: `lapses`,
    breaks: 'after one pause of a machine standbys take over late',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/lease/ever-longer',
    file: LEASE_CLOCK,
    from: `2 ** Math.min(Math.max(lapses - 1, 0), MOST_DOUBLINGS)`,
    to: `2 ** Math.max(lapses - 1, 0)`,
    breaks: 'I17: a lease grows to hours, and nobody takes over from a relay that died meanwhile',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/lease/never-longer',
    file: LEASE_CLOCK,
    from: `  return leaseMs * 2 ** Math.min(Math.max(lapses - 1, 0), MOST_DOUBLINGS);`,
    to: `  return lapses < 0 ? 0 : leaseMs;`,
    breaks: 'I17: relays that get nothing done within a lease lose it to each other for ever',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/poison/never-halved',
    file: POISON,
    from: `probe: { ...probe, size: half(seqs.length), mark: null } };`,
    to: `probe: { ...probe, mark: null } };`,
    breaks: 'I17: the message that kills its relay is never found',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/poison/calm-on-an-empty-page',
    file: POISON,
    from: `left <= 0 || (count === 0 && !more) ? null`,
    to: `left <= 0 || count === 0 ? null`,
    breaks: 'I17: a page of other topics ends the search, and the next death begins it anew',
    tests: ['test/relay/poison.test.ts'],
  },
  {
    name: 'relay/lease/word-for-any-epoch',
    file: 'src/relay/subscription/lease-taker.ts',
    from: `WHERE name = $1 AND shard = $2 AND $3::bigint = ANY (lost_epochs)`,
    to: `WHERE name = $1 AND shard = $2 AND stalls > 0 AND $3::bigint IS NOT NULL`,
    breaks: 'I17: a relay that stood still takes back the deaths of others',
    tests: ['test/relay/lapsed-lease.test.ts'],
  },
  {
    name: 'relay/lease/word-not-waited-for',
    file: 'src/relay/delivery/suspect.ts',
    from: `plan.because === 'killed' && plan.epochs.length > 0`,
    to: `plan.because === 'killed' && plan.epochs.length > 2`,
    breaks: 'I16: a message is parked for the death of a relay that is about to say that it lives',
    tests: ['test/relay/lapsed-lease.test.ts'],
  },
];
