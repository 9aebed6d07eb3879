/**
 * saga.local.1, .64 and .1000: a saga of three local steps that do nothing, with so many runs in flight. Against the best of the other
 * libraries (bench/peers) when they are installed, against the loop that people write by hand, and 1,000 against 64.
 */
import { contest, details, type Entry, type Standing } from './support/contest.ts';
import { figure, type BenchContext, type Benchmark, type Figure } from './support/figure.ts';
import { bestPeer, measurePeers, type PeerFigure } from './support/peers.ts';

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
      ...(wanted.has(ALONE) ? alone(of('local', 1), of('local-by-hand', 1), await peersOf(context, 1)) : []),
      ...(wanted.has(MANY) ? many(of('local', 64), of('local-by-hand', 64), await peersOf(context, 64)) : []),
      ...(wanted.has(CROWD) ? [crowd(of('local', 1000), of('local', 64))] : []),
    ];
  },
};

function entry(contestant: Entry['contestant'], inflight: number): Entry {
  return { contestant, inflight };
}

/** Latency: of DBOS, which is the one of the peers that is made for it, or of the loop. */
function alone(ours: Standing, byHand: Standing, peers: readonly PeerFigure[]): readonly Figure[] {
  const dbos = peers.find(({ bench }) => bench.startsWith('peer.dbos.'));
  const more = {
    of: 'p50',
    ...details(ours, STEPS),
    commitsPerRun: Math.round(ours.commitsPerRun * 100) / 100,
  };
  const base = { bench: ALONE, value: ours.p50, unit: 'ms' } as const;
  return [
    ...(dbos === undefined
      ? []
      : [
          figure(
            { ...base, against: 'dbos', againstValue: dbos.p50, target: { atMost: 0.333 } },
            { ...more, peerVersion: dbos.version },
          ),
        ]),
    // It needs one commit more than we do.
    figure({ ...base, against: 'by-hand', againstValue: byHand.p50, target: { atMost: 1 } }, more),
  ];
}

function many(ours: Standing, byHand: Standing, peers: readonly PeerFigure[]): readonly Figure[] {
  const best = bestPeer(peers);
  const more = { ...details(ours, STEPS), commitsPerRun: Math.round(ours.commitsPerRun * 1000) / 1000 };
  const base = { bench: MANY, value: ours.perSecond, unit: 'runs/s' } as const;
  return [
    ...(best === undefined
      ? []
      : [
          figure(
            {
              ...base,
              against: best.bench.split('.')[1] ?? best.bench,
              againstValue: best.value,
              target: { atLeast: 20 },
            },
            { ...more, peerVersion: best.version },
          ),
        ]),
    figure({ ...base, against: 'by-hand', againstValue: byHand.perSecond, target: { atLeast: 3 } }, more),
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
      target: { atLeast: 1.5 },
    },
    { ...details(ours, STEPS), commitsPerRun: Math.round(ours.commitsPerRun * 1000) / 1000 },
  );
}

/** On the server of this run; none when they are not installed. */
async function peersOf({ quick, servers, note }: BenchContext, inflight: number): Promise<readonly PeerFigure[]> {
  const bench = await servers.database();
  try {
    const only = inflight === 1 ? (['dbos'] as const) : undefined;
    const figures = await measurePeers({ url: bench.url, inflight, quick, ...(only === undefined ? {} : { only }) });
    for (const { bench: name, value, p50, p99 } of figures)
      note(`${name}: ${value} runs/s, p50 ${p50} ms, p99 ${p99} ms`);
    return figures;
  } finally {
    await bench.drop();
  }
}
