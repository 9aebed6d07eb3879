/**
 * saga.local.1, .64 and .1000: a saga of three local steps that do nothing, with so many runs in flight. Against the best of the other
 * libraries (bench/peers) when they are installed, against the loop that people write by hand, and 1,000 against 64.
 */
import { contest, details, type Entry, type Standing } from './support/contest.ts';
import { figure, round, type BenchContext, type Benchmark, type Figure } from './support/figure.ts';
import { arePeersInstalled, bestPeer, measurePeers, type PeerFigure } from './support/peers.ts';

const [ALONE, MANY, CROWD] = ['saga.local.1', 'saga.local.64', 'saga.local.1000'] as const;
const STEPS = 3;

export const sagaLocal: Benchmark = {
  names: [ALONE, MANY, CROWD],

  async run(context, wanted) {
    const entries: Entry[] = [];
    if (wanted.has(ALONE)) entries.push(entry('local', 1), entry('local-by-hand', 1));
    if (wanted.has(MANY) || wanted.has(CROWD)) entries.push(entry('local', 64));
    if (wanted.has(MANY)) entries.push(entry('local-by-hand', 64));
    if (wanted.has(CROWD)) entries.push(entry('local', 1000));
    const standings = await contest(context, entries);
    const of = (contestant: Entry['contestant'], inflight: number): Standing => {
      const found = standings.find((each) => each.contestant === contestant && each.inflight === inflight);
      if (found === undefined) throw new Error(`${contestant} with ${inflight} in flight was not measured`);
      return found;
    };
    return [
      ...(wanted.has(ALONE) ? alone(of('local', 1), of('local-by-hand', 1), await besidePeers(context, 1)) : []),
      ...(wanted.has(MANY) ? many(of('local', 64), of('local-by-hand', 64), await besidePeers(context, 64)) : []),
      ...(wanted.has(CROWD) ? [crowd(of('local', 1000), of('local', 64))] : []),
    ];
  },
};

function entry(contestant: Entry['contestant'], inflight: number): Entry {
  return { contestant, inflight };
}

/** Latency: of DBOS, which is the one of the peers that is made for it, and of the loop. */
function alone(ours: Standing, byHand: Standing, beside: BesidePeers | null): readonly Figure[] {
  const line = (standing: Standing, against: string, againstValue: number, atMost: number, more = {}): Figure =>
    figure(
      { bench: ALONE, value: standing.p50, unit: 'ms', against, againstValue, target: { atMost } },
      { of: 'p50', ...details(standing, STEPS), commitsPerRun: round(standing.commitsPerRun), ...more },
    );
  const dbos = beside?.peers.find(({ bench }) => bench.startsWith('peer.dbos.'));
  return [
    ...(beside === null || dbos === undefined
      ? []
      : [line(beside.ours, 'dbos', dbos.p50, 0.333, { peerVersion: dbos.version })]),
    // It needs one commit more than we do.
    line(ours, 'by-hand', byHand.p50, 1),
  ];
}

function many(ours: Standing, byHand: Standing, beside: BesidePeers | null): readonly Figure[] {
  const line = (standing: Standing, against: string, againstValue: number, atLeast: number, more = {}): Figure =>
    figure(
      { bench: MANY, value: standing.perSecond, unit: 'runs/s', against, againstValue, target: { atLeast } },
      { ...details(standing, STEPS), commitsPerRun: round(standing.commitsPerRun), ...more },
    );
  const best = bestPeer(beside?.peers ?? []);
  return [
    ...(beside === null || best === undefined
      ? []
      : [line(beside.ours, best.bench.split('.')[1] ?? best.bench, best.value, 25, { peerVersion: best.version })]),
    line(ours, 'by-hand', byHand.perSecond, 3),
  ];
}

function crowd(ours: Standing, many64: Standing): Figure {
  return figure(
    {
      bench: CROWD,
      value: ours.perSecond,
      unit: 'runs/s',
      against: MANY,
      againstValue: many64.perSecond,
      target: { atLeast: 1.3 },
    },
    { ...details(ours, STEPS), commitsPerRun: round(ours.commitsPerRun) },
  );
}

interface BesidePeers {
  readonly ours: Standing;
  readonly peers: readonly PeerFigure[];
}

/**
 * The peers on the server of this run, and ourselves just before them and just after; null when they are not installed. They take a
 * minute, in which a machine may have become another one.
 */
async function besidePeers(context: BenchContext, inflight: number): Promise<BesidePeers | null> {
  if (!arePeersInstalled()) return null;
  let peers: readonly PeerFigure[] = [];
  const between = async (): Promise<void> => {
    peers = await measureThem(context, inflight);
  };
  const [ours] = await contest(context, [entry('local', inflight)], { rounds: 2, between });
  return ours === undefined ? null : { ours, peers };
}

async function measureThem({ quick, servers, note }: BenchContext, inflight: number): Promise<readonly PeerFigure[]> {
  const bench = await servers.database();
  try {
    const only = inflight === 1 ? { only: ['dbos'] as const } : {};
    const figures = await measurePeers({ url: bench.url, inflight, quick, ...only });
    for (const { bench: name, value, p50, p99 } of figures)
      note(`${name}: ${value} runs/s, p50 ${p50} ms, p99 ${p99} ms`);
    return figures;
  } finally {
    await bench.drop();
  }
}
