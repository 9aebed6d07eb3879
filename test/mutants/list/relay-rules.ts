/**
 * Mistakes in what a relay decides: refusals, routes, order, the clock of its lease, the server it finds.
 */
import type { Mutant } from '../mutant.ts';

const REFUSALS = 'src/relay/delivery/refusals.ts';
const SETTLE = 'src/relay/subscription/settle-cursor.ts';
const ROUTES = 'src/relay/subscription/routes.ts';
const LEASE_CLOCK = 'src/relay/subscription/lease-clock.ts';
const PROGRESS = 'src/relay/subscription/progress.ts';
const REDRIVE = 'src/relay/delivery/redrive.ts';
const REVISION = 'src/relay/delivery/parked-revision.ts';
const ON_REFUSALS = ['test/relay/refusals.test.ts'];
const ON_DELIVERY = ['test/relay/delivery-rules.test.ts'];

export const RELAY_RULES: readonly Mutant[] = [
  {
    name: 'relay/refusals/unsent-behind-a-refused-one',
    file: REFUSALS,
    from: `    return key === null || !refusedKeys.has(key);`,
    to: `    return key === null || refusedKeys.has(key);`,
    breaks: 'I3: a message goes out before one of its key that was refused',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/milder-of-two',
    file: REFUSALS,
    from: `weightOf(other) > weightOf(one) ? other : one`,
    to: `weightOf(other) < weightOf(one) ? other : one`,
    breaks: 'a message that one destination refuses for good is tried again and again',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/for-good-tried-in-place',
    file: REFUSALS,
    from: `const waits = refusal.permanent || (refusal.later`,
    to: `const waits = (refusal.later`,
    breaks: 'a message that is refused for good holds up the log while it is tried again',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/tried-before-its-predecessor',
    file: REFUSALS,
    from: `    given.push([entry, refusal]);
    if (key !== null) stuck.add(key);`,
    to: `    given.push([entry, refusal]);`,
    breaks: 'I3: a message is tried again in place before the parked one of its key',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/waiting-counted-as-failed',
    file: REFUSALS,
    from: `refusal.later?.attempted === false && stuck.has(key)) waiting.push(entry);`,
    to: `refusal.later?.attempted === true && stuck.has(key)) waiting.push(entry);`,
    breaks: 'I16: a message that was only not sent because of another one becomes a dead letter',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/unattempted-counted',
    file: REFUSALS,
    from: `facts.attempts + (later?.attempted === false ? 0 : 1)`,
    to: `facts.attempts + 1`,
    breaks: 'I16: while an endpoint is away, messages for it run out of attempts without having been sent',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/sooner-than-asked',
    file: REFUSALS,
    from: `Math.max(backoffMs, later.delayMs)`,
    to: `Math.min(backoffMs, later.delayMs)`,
    breaks: 'an endpoint that asks for time is asked again before',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/refusals/for-good-redriven',
    file: REFUSALS,
    from: `    elapsedMs: facts.parkedForMs,
    permanent,`,
    to: `    elapsedMs: facts.parkedForMs,
    permanent: false,`,
    breaks: 'what is refused for good is published again by itself, and no person told',
    tests: ON_REFUSALS,
  },
  {
    name: 'relay/delivery/page-behind-a-parked-one',
    file: 'src/relay/delivery/delivery.ts',
    from: `(entry.key !== null && blocked.has(entry.key) ? held : free).push(entry);`,
    to: `(entry.key !== null && !blocked.has(entry.key) ? held : free).push(entry);`,
    breaks: 'I3: a message overtakes a parked one of its key',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/delivery/defect-of-the-network',
    file: 'src/relay/delivery/publish-apart.ts',
    from: `      if (!isTransportDefect(error)) throw error;\n`,
    to: ``,
    breaks: 'I16: an outage parks every message of a batch',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/delivery/defect-without-a-look',
    file: 'src/relay/delivery/publish-apart.ts',
    from: `  await check();\n`,
    to: ``,
    breaks: 'I16: a broker that is away, and fails by a TypeError, has its messages parked',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/redrive/key-all-at-once',
    file: REDRIVE,
    from: `    if (keepsOrder && entry.key !== null && seen.has(entry.key)) {`,
    to: `    if (!keepsOrder && entry.key !== null && seen.has(entry.key)) {`,
    breaks: 'I3: what waits behind a parked message goes out although that is refused again',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/redrive/discarded-meanwhile',
    file: REDRIVE,
    from: `    if (revision === undefined) return [];`,
    to: `    if (revision === undefined) return [entry];`,
    breaks: 'a message that a person has discarded goes out',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/redrive/behind-what-is-read-later',
    file: REDRIVE,
    from: `(end === -1 ? entries : entries.slice(0, end))`,
    to: `entries.filter(({ seq }) => claimed.get(seq)?.revision !== 'later')`,
    breaks: 'I3: a message overtakes an edited one that is read later',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/revision/while-it-is-published',
    file: REVISION,
    from: `  if (held && claimed) {`,
    to: `  if (!held && claimed) {`,
    breaks: 'I19: an edit is accepted while the relay publishes what was there before',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/revision/beside-an-old-relay',
    file: REVISION,
    from: `  if (held && !claims) {`,
    to: `  if (held && !claims && claimed) {`,
    breaks: 'I19: beside a relay of the version before an edit is accepted that it does not heed',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/revision/before-the-cursor',
    file: REVISION,
    from: `  if (passed) return null;`,
    to: `  if (passed || !held) return null;`,
    breaks: 'I19: the log brings what was edited as it was written',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/scheduler/before-its-time',
    file: 'src/relay/maintenance/scheduler.ts',
    from: `Math.max(1, Math.min(500, Math.ceil(nextInMs ?? 500)))`,
    to: `Math.max(1, Math.min(500, Math.floor(nextInMs ?? 500)))`,
    breaks: 'a relay looks for what is due just before it is, again and again',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/scheduler/past-the-next',
    file: 'src/relay/maintenance/scheduler.ts',
    from: `Math.max(1, Math.min(500, Math.ceil(nextInMs ?? 500)))`,
    to: `Math.max(500, Math.ceil(nextInMs ?? 500))`,
    breaks: 'I17: with one message that is due in a week, nobody looks for others before',
    tests: ON_DELIVERY,
  },
  {
    name: 'relay/routes/first-route-only',
    file: ROUTES,
    from: `            names.set(rule.destination.name, rule.destination);
        }`,
    to: `            names.set(rule.destination.name, rule.destination);
          if (names.size > 0) break;
        }`,
    breaks: 'I1: the second destination of a topic gets nothing',
    tests: ['test/relay/routes.test.ts'],
  },
  {
    name: 'relay/routes/ordered-and-not',
    file: ROUTES,
    from: `    if (ordered.get(rule.destination.name) !== rule.destination.ordered) {`,
    to: `    if (ordered.get(rule.destination.name) === undefined) {`,
    breaks: 'I3: an ordered consumer waits for predecessors that nobody names',
    tests: ['test/relay/routes.test.ts'],
  },
  {
    name: 'relay/routes/replay-under-the-old-id',
    file: ROUTES,
    from: `    replayId: replayId ?? null,`,
    to: `    replayId: null,`,
    breaks: 'I19: the broker takes a replayed message for one that it has',
    tests: ['test/relay/routes.test.ts'],
  },
  {
    name: 'relay/routes/settings-by-their-order',
    file: 'src/relay/subscription/shared-settings.ts',
    from: `  return { routes: plain.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)), ...rest };`,
    to: `  return { routes: plain.filter((route) => text(route) !== ''), ...rest };`,
    breaks: 'two relays with the same routes, written in another order, take the subscription from each other',
    tests: ['test/relay/routes.test.ts'],
  },
  {
    name: 'relay/settle/unknown-timeline-is-another',
    file: SETTLE,
    from: `return timeline !== null && here !== null && timeline !== here ? 'timeline' : 'none';`,
    to: `return timeline !== here ? 'timeline' : 'none';`,
    breaks: 'where a timeline cannot be read, each takeover replays or holds',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/settle/promoted-is-the-same',
    file: SETTLE,
    from: `return timeline !== null && here !== null && timeline !== here ? 'timeline' : 'none';`,
    to: `return timeline !== null && here !== null && timeline > here ? 'timeline' : 'none';`,
    breaks: 'I1: what a promoted standby has lost is not published again',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/settle/sequence-below-the-floor',
    file: SETTLE,
    from: `Number(row.drawn) < Math.max(Number(row.newest ?? 0), Number(row.high), Number(row.floor));`,
    to: `Number(row.drawn) < Math.max(Number(row.newest ?? 0), Number(row.high));`,
    breaks: 'I1: after a move to another cluster, messages are numbered where nobody looks',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/settle/sequence-below-the-cursor',
    file: SETTLE,
    from: `Number(row.drawn) < Math.max(Number(row.newest ?? 0), Number(row.high), Number(row.floor));`,
    to: `Number(row.drawn) < Math.max(Number(row.newest ?? 0), Number(row.floor));`,
    breaks: 'I1: in a log that was emptied, messages are numbered behind the cursor',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/settle/clocks-of-two-clusters',
    file: SETTLE,
    from: `writtenAfterMs: advancedMs - CLOCKS_MS };`,
    to: `writtenAfterMs: advancedMs };`,
    breaks: 'I1: what was written in a cluster whose clock is behind is not found',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/settle/long-page-forgotten',
    file: 'src/relay/subscription/subscription-row.ts',
    from: `catchup: row.catchup === null ? null : { snapshot: row.catchup, seq: Number(row.catchup_seq) },`,
    to: `catchup: row.catchup === null ? null : { snapshot: row.snapshot, seq: Number(row.catchup_seq) },`,
    breaks: 'I1: after a crash within a long page of late committers its rest is never delivered',
    tests: ['test/relay/settle-rules.test.ts'],
  },
  {
    name: 'relay/lease/from-the-answer',
    file: LEASE_CLOCK,
    from: `    await write();
    this.#confirmedAtMs = sentAtMs;`,
    to: `    await write();
    this.#confirmedAtMs = Math.max(sentAtMs, this.#clock.monotonic());`,
    breaks: 'I11: a relay publishes beside its successor, by as much as the answer took',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/lease/whole-lease',
    file: LEASE_CLOCK,
    from: `this.#leaseMs * (1 - SAFETY) - this.#clock.monotonic()`,
    to: `this.#leaseMs - this.#clock.monotonic()`,
    breaks: 'I11: a relay publishes until the very end of its lease',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/lease/confirmed-by-the-asking',
    file: LEASE_CLOCK,
    from: `    await write();
    this.#confirmedAtMs = sentAtMs;`,
    to: `    this.#confirmedAtMs = sentAtMs;
    await write();`,
    breaks: 'I11: a renewal that fails counts as one',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/lease/renewed-at-the-end',
    file: LEASE_CLOCK,
    from: `>= this.#leaseMs / 3;`,
    to: `>= this.#leaseMs;`,
    breaks: 'an idle relay loses its lease each time',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/progress/lost-beside-a-write',
    file: PROGRESS,
    from: `        this.#unwritten = false;
        this.#lastWriteAtMs = clock.monotonic();
        await write({ cursor: this.#cursor, published: this.#published, rate: this.#rate.perSecond() });`,
    to: `        this.#lastWriteAtMs = clock.monotonic();
        await write({ cursor: this.#cursor, published: this.#published, rate: this.#rate.perSecond() });
        this.#unwritten = false;`,
    breaks: 'what goes out while the cursor is written is not stored, and goes out again after a stop',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/progress/flush-waits-for-nothing',
    file: PROGRESS,
    from: `    await this.#writing;
    this.#hurry`,
    to: `    void this.#writing;
    this.#hurry`,
    breaks: 'I24: a stop closes the connection under the last write of the cursor',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/progress/failed-write-stored',
    file: PROGRESS,
    from: `        await write({ cursor: this.#cursor, published: this.#published, rate: this.#rate.perSecond() });
        this.#hasStored = true;`,
    to: `        this.#hasStored = true;
        await write({ cursor: this.#cursor, published: this.#published, rate: this.#rate.perSecond() });`,
    breaks: 'I17: a relay whose pages are too long for its sessions is not told so, and begins anew for ever',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/progress/error-swallowed',
    file: PROGRESS,
    from: `      onError(error);
    } finally {`,
    to: `      if (this.#hasStored) onError(error);
    } finally {`,
    breaks: 'I11: a relay that has lost its lease does not hear of it, and publishes on',
    tests: ['test/relay/progress.test.ts'],
  },
  {
    name: 'relay/runner/session-into-session',
    file: 'src/relay/delivery/runner-phase.ts',
    from: `  active: ['starting'],`,
    to: `  active: ['starting', 'active'],`,
    breaks: 'I24: a shard is taken anew while its old session is open',
    tests: ['test/relay/runner-parts.test.ts'],
  },
  {
    name: 'relay/runner/standby-for-a-whole-lease',
    file: 'src/relay/delivery/takeover.ts',
    from: `Math.min(held.retryInMs + random() * 100, leaseMs / 10 + random() * 100)`,
    to: `held.retryInMs + random() * 100`,
    breaks: 'I17: a standby notices a lease that was given back only when it would have ended',
    tests: ['test/relay/runner-parts.test.ts'],
  },
  {
    name: 'relay/runner/read-given-up-for-ever',
    file: 'src/relay/delivery/read-patience.ts',
    from: `Math.min(2 * Math.max(this.#timeoutMs, leaseMs), LONGEST_READ_MS)`,
    to: `Math.min(Math.max(this.#timeoutMs, leaseMs), LONGEST_READ_MS)`,
    breaks: 'I17: a read that takes longer than a lease is given up each time, and nothing goes out',
    tests: ['test/relay/runner-parts.test.ts'],
  },
  {
    name: 'relay/pacing/sleeps-without-a-waker',
    file: 'src/relay/subscription/pacing.ts',
    from: `facts.idleForMs >= SLEEP_AFTER_MS && facts.canSleep`,
    to: `facts.idleForMs >= SLEEP_AFTER_MS`,
    breaks: 'I17: a relay that cannot hear of commits sleeps',
    tests: ['test/relay/pacing.test.ts'],
  },
];
