/**
 * One leg of a soak: starts everything, has load and faults for its time, then lets all come to its end, and judges.
 */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compilePrograms } from '../../.ci/compile-programs.ts';
import { openBacklog } from '../../demo/broker.ts';
import type { World } from '../../demo/world.ts';
import { isLock, takeLock } from '../../src/servers/folder-lock.ts';
import { launchCrew, SOAK_PROGRAMS, type Crew } from './crew.ts';
import { lookForRest } from './diagnosis.ts';
import { faultsNamed, strikeAtRandom } from './faults/strikes.ts';
import { FLOODS, ORDERED_FLOODS } from './flood/messages.ts';
import { growing } from './judge/flat.ts';
import { readSent } from './judge/flood-ledger.ts';
import { wrongAtRest } from './judge/world-look.ts';
import type { SoakOptions } from './options.ts';
import { sentencesOf, type Outcome, type Progress } from './report.ts';
import { startSoakServers, type SoakServers } from './servers.ts';
import { kindOf, WORK_PROCESSES, type Keeping, type Said } from './setting.ts';
import { seriesOf, takeSample, withSample, type SoakSample } from './sizes.ts';
import { openTotals, sumOfLegs, type Leg, type Totals } from './totals.ts';
import { startWatch, type View, type Watch } from './watch.ts';

export interface LegOptions extends SoakOptions {
  /** Ends the load, and the leg in good order. */
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly onProgress: (progress: Progress) => void;
  /** What has to be ended when the leg is not: in reverse order. */
  readonly cleanUps: (() => Promise<unknown>)[];
}

/** As long as one would have them in earnest where others use the machine too. */
const PACE = { relayLease: '5s', workerLease: '5s', idlePoll: '1s' } as const;
const CLAIM = '5s' as const;
const PATIENCE_MS = 6_000;
/** How many customers and goods there are: as if there were so many orders. */
const WORLD_ORDERS = 2_000;
const MINUTE_MS = 60_000;
const KEEPING: Keeping = {
  messagesMs: 4 * MINUTE_MS,
  runsMs: 10 * MINUTE_MS,
  marksMs: 10 * MINUTE_MS,
  callsMs: 20 * MINUTE_MS,
};
const SAMPLE_EVERY_MS = 10_000;
/** In seconds. Less load than that is too little to say whether anything grows: what is kept longest has to be full by the middle of it. */
const LEAST_TO_JUDGE_GROWTH = 2 * 20 * 60;
/** In a short leg faults come sooner after each other. */
const SHORT_MINUTES = 2;

export async function runLeg(options: LegOptions): Promise<Outcome> {
  const { folder, seed, rate, runs, logs, say, cleanUps } = options;
  // Refused before anything is started.
  faultsNamed(options.only);
  if (folder !== undefined) cleanUps.push(lockOf(folder));
  const file = openTotals(folder);
  const earlier = file.before?.legs ?? [];
  const worldSeed = file.before?.worldSeed ?? seed;
  const world: World = { orders: WORLD_ORDERS, seed: worldSeed, endless: true, patienceMs: PATIENCE_MS };
  const servers = await startSoakServers(folder, world);
  cleanUps.push(() => servers.dispose());
  say(
    `PostgreSQL ${servers.postgres.version} and Redis${earlier.length > 0 ? `, with what ${earlier.length} legs have left` : ''}`,
  );
  const programs = await compilePrograms(SOAK_PROGRAMS);
  cleanUps.push(() => programs.dispose());
  if (logs !== undefined) mkdirSync(logs, { recursive: true });

  const record = new LegRecord(seed);
  const write = (isWhole: boolean): void => file.write({ worldSeed, legs: [...earlier, record.leg(isWhole)] });
  const crew = launchCrew(programs, {
    settings: {
      world,
      databases: servers.urls,
      broker: { kind: 'redis', url: servers.redis.url, claim: CLAIM },
      pace: PACE,
      keeping: keepingAfter(file.before),
      load: { messages: rate / 2, orders: runs / 2 },
    },
    network: { postgresUrl: servers.postgres.url, redisUrl: servers.redis.url },
    logs,
    onDeath: (name, what) => record.say(`${name}: ${what}`),
    onSaid: (said) => record.hear(said),
    onSlowStop: (name) => record.count(`${kindOf(name)} killed, a minute after it was to stop`),
  });
  cleanUps.push(async () => {
    crew.over();
    await crew.fleet.dispose();
  });
  await crew.startAll();
  say(`${WORK_PROCESSES.join(', ')} are at work`);

  const { view: last, rest } = await underLoad(options, { crew, servers, record, write });
  const outcome = await judge({ last, rest, record, servers, earlier, seed });
  write(true);
  return outcome;
}

/** What one leg has come to so far. */
class LegRecord {
  readonly #seed: number;
  readonly faults: Record<string, number> = {};
  readonly counts: Record<string, number> = {};
  readonly wrong: string[] = [];
  readonly acknowledged = new Map<string, number>();
  acknowledgedOrders = 0;
  samples: readonly SoakSample[] = [];
  seconds = 0;
  /** Before the leg, and now. */
  first: View | undefined;
  last: View | undefined;

  constructor(seed: number) {
    this.#seed = seed;
  }

  get messages(): number {
    return (this.last?.handled ?? 0) - (this.first?.handled ?? 0);
  }

  get orders(): number {
    return (this.last?.orders.orders ?? 0) - (this.first?.orders.orders ?? 0);
  }

  say(sentence: string): void {
    if (this.wrong.length < 50 && !this.wrong.includes(sentence)) this.wrong.push(sentence);
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  hear(said: Said): void {
    if (said.kind !== 'acknowledged') return;
    this.acknowledgedOrders += said.orders;
    for (const [stream, n] of Object.entries(said.streams))
      this.acknowledged.set(stream, Math.max(n, this.acknowledged.get(stream) ?? 0));
  }

  leg(isWhole: boolean): Leg {
    const { seconds, messages, orders, faults, counts, samples, wrong } = this;
    return { seed: this.#seed, seconds, messages, orders, faults, counts, samples, wrong, isWhole };
  }
}

interface LegParts {
  readonly crew: Crew;
  readonly servers: SoakServers;
  readonly record: LegRecord;
  readonly write: (isWhole: boolean) => void;
}

/** Resolves when all has come to its end, with what was seen last, and what was left. */
async function underLoad(
  options: LegOptions,
  { crew, servers, record, write }: LegParts,
): Promise<{ readonly view: View | undefined; readonly rest: readonly string[] }> {
  const { minutes, rate, runs, seed, signal, logs, say, onProgress } = options;
  const kinds = faultsNamed(options.only);

  const { databases } = servers;
  const beganMs = performance.now();
  const loadOver = new AbortController();
  const isLoaded = (): boolean => !loadOver.signal.aborted;
  const down = new Map<string, string>();
  const note = (text: string): void => {
    if (logs !== undefined) appendFileSync(join(logs, 'soak.log'), `${new Date().toISOString()} ${text}\n`);
  };
  const pace = createPace();
  const countProcesses = (): void => {
    for (const what of COUNTED) if (crew.fleet.counted(what) > 0) record.counts[what] = crew.fleet.counted(what);
  };
  const watch = startWatch({
    crew,
    databases,
    most: { messages: Math.max(2_000, rate * 8), orders: Math.max(60, runs * 15) },
    isLoaded,
    note,
    onWrong: (sentence) => record.say(sentence),
    onMended: (count) =>
      void (record.counts['parked messages retried by an operator'] =
        (record.counts['parked messages retried by an operator'] ?? 0) + count),
    onView(view) {
      record.first ??= view;
      record.last = view;
      if (isLoaded()) record.seconds = Math.round((performance.now() - beganMs) / 1_000);
      countProcesses();
      write(false);
      onProgress({
        seconds: (performance.now() - beganMs) / 1_000,
        view,
        messages: record.messages,
        orders: record.orders,
        ...pace(record.messages, record.orders),
        faults: Object.values(record.faults).reduce((sum, times) => sum + times, 0),
        down: [...down.values()],
        sample: record.samples.at(-1),
      });
    },
  });
  const sampling = setInterval(() => {
    if (!isLoaded()) return;
    void takeSample((performance.now() - beganMs) / 1_000, crew, servers).then(
      (sample) => void (record.samples = withSample(record.samples, sample)),
      () => {},
    );
  }, SAMPLE_EVERY_MS);
  const strikes = strikeAtRandom({
    crew,
    postgres: servers.postgres,
    redis: servers.redis,
    databases,
    settledMs: () => record.last?.settledMs ?? 0,
    seed,
    kinds,
    quiet: Math.min(1, minutes / SHORT_MINUTES),
    pause: (ms) => pauseUnless(loadOver.signal, ms),
    done: () => record.messages + record.orders,
    isOver: () => !isLoaded(),
    note,
    onStrike(kind) {
      record.faults[kind] = (record.faults[kind] ?? 0) + 1;
      note(kind);
    },
    onDown: (side, what) => void (what === undefined ? down.delete(side) : down.set(side, what)),
  });
  await pauseUnless(signal, minutes * MINUTE_MS);
  loadOver.abort();
  clearInterval(sampling);
  say('no more load: all comes to its end');
  await strikes;
  crew.turnWeather('calm');
  return drain(watch, { crew, servers, record });
}

/** Waits until nothing is left to do, and stops all in good order. */
async function drain(
  watch: Watch,
  { crew, servers, record }: Omit<LegParts, 'write'>,
): Promise<{ readonly view: View | undefined; readonly rest: readonly string[] }> {
  const broker = { kind: 'redis', url: servers.redis.url } as const;
  const backlog = openBacklog(broker, { known: FLOODS.map(({ name }) => name), ordered: ORDERED_FLOODS });
  try {
    const isQuiet = async ({ missing, world }: View): Promise<boolean> =>
      missing.count === 0 &&
      world.openOrders === 0 &&
      world.parked === 0 &&
      world.runMessages === 0 &&
      // On a busy machine a look may take too long: then the next one tells.
      (await backlog.count().catch(() => NaN)) === 0;
    const stop = (kinds: RegExp): Promise<unknown> =>
      Promise.all(WORK_PROCESSES.filter((name) => kinds.test(name)).map((name) => crew.stop(name)));
    let quiet = await watch.reach(isQuiet);
    await stop(/^(writer|relay)/);
    // The copies of the last batch may still be on their way.
    if (quiet !== null) quiet = await watch.reach(isQuiet);
    await watch.stop();
    const rest = quiet === null ? await lookForRest(servers.databases, record.last) : [];
    crew.over();
    await stop(/./);
    return { view: record.last, rest };
  } finally {
    await backlog.close();
  }
}

/** What processes count that is shown at the end. */
const COUNTED = ['copied', 'duplicates', 'repeated', 'retries', 'commits cut', 'writes that failed'];

async function judge(parts: {
  readonly last: View | undefined;
  readonly rest: readonly string[];
  readonly record: LegRecord;
  readonly servers: SoakServers;
  readonly earlier: readonly Leg[];
  readonly seed: number;
}): Promise<Outcome> {
  const { last, rest, record, servers, earlier, seed } = parts;
  if (last === undefined) throw new Error('The servers did not answer once.');
  for (const sentence of [...rest, ...wrongAtRest(last.world, last.orders)]) record.say(sentence);
  const sent = await readSent(servers.databases.flood);
  for (const [stream, n] of record.acknowledged)
    if (n > (sent.get(stream) ?? 0))
      record.say(`${stream}: the commit of message ${n} was answered, and ${sent.get(stream)} are there`);
  if (rest.length === 0 && record.orders < record.acknowledgedOrders)
    record.say(`${record.acknowledgedOrders} orders were placed, and ${record.orders} are there`);
  const judgesGrowth = record.seconds >= LEAST_TO_JUDGE_GROWTH;
  const found = {
    // The ledgers have what a leg that was killed did not come to write down.
    sum: { ...sumOfLegs([...earlier, record.leg(true)]), messages: last.handled, orders: last.orders.orders },
    streams: last.streams,
    orders: last.orders,
    growth: judgesGrowth ? growing(seriesOf(record.samples)) : [],
  };
  const lost = last.missing.count;
  return {
    ...found,
    ok: sentencesOf(found).length === 0 && lost === 0 && last.orders.faulty === 0,
    seed,
    leg: { seconds: record.seconds, messages: record.messages, orders: record.orders },
    lost,
    unfinished: last.world.openOrders,
    parked: last.world.parked,
    stuck: last.world.stuck,
    samples: record.samples,
    judgesGrowth,
  };
}

/** After a leg that was broken off, messages that were handled before may come again: what knows them must be there as long as that took. */
function keepingAfter(before: Totals | null): Keeping {
  if (before === null || before.legs.at(-1)?.isWhole !== false) return KEEPING;
  const awayMs = Math.max(0, Date.now() - before.atMs);
  return {
    messagesMs: KEEPING.messagesMs + awayMs,
    runsMs: KEEPING.runsMs + awayMs,
    marksMs: KEEPING.marksMs + awayMs,
    callsMs: KEEPING.callsMs + awayMs,
  };
}

function lockOf(folder: string): () => Promise<void> {
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true });
  const lock = takeLock(folder, 'lock');
  if (!isLock(lock)) throw new Error(`${folder} is in use by process ${lock.pid}.`);
  return async () => lock.release();
}

function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    signal.addEventListener('abort', over, { once: true });
  });
}

/** How many a second, over the last looks. */
function createPace(): (
  messages: number,
  orders: number,
) => { readonly messageRate: number; readonly orderRate: number } {
  const seen: { readonly atMs: number; readonly messages: number; readonly orders: number }[] = [];
  return (messages, orders) => {
    const atMs = performance.now();
    seen.push({ atMs, messages, orders });
    while (seen.length > 2 && atMs - (seen[0]?.atMs ?? 0) > 15_000) seen.shift();
    const first = seen[0];
    if (first === undefined || first.atMs === atMs) return { messageRate: 0, orderRate: 0 };
    const perSecond = (now: number, then: number): number => ((now - then) * 1_000) / (atMs - first.atMs);
    return { messageRate: perSecond(messages, first.messages), orderRate: perSecond(orders, first.orders) };
  };
}
