/** The cursor's arithmetic, against a model of transactions that begin, draw numbers and commit in any order. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cursorAfter, mergeCursors, parseSnapshot, type Cursor } from '../../src/relay/log/cursor.ts';

interface ModelRow {
  readonly seq: number;
  readonly xid: number;
}

/** A log with PostgreSQL's rules: xids rise, seqs are drawn after the xid, rows show when their transaction is committed. */
class Model {
  nextXid = 10;
  nextSeq = 1;
  lastCompleted = 9;
  readonly open = new Set<number>();
  readonly committed = new Set<number>();
  readonly rows: ModelRow[] = [];

  begin(): number {
    const xid = this.nextXid++;
    this.open.add(xid);
    return xid;
  }
  write(xid: number): void {
    this.rows.push({ xid, seq: this.nextSeq++ });
  }
  end(xid: number, commit: boolean): void {
    this.open.delete(xid);
    this.lastCompleted = Math.max(this.lastCompleted, xid);
    if (commit) this.committed.add(xid);
  }
  /** As PostgreSQL takes it: xmax is one past the last completed, not past the last assigned. */
  snapshot(): string {
    const xmax = this.lastCompleted + 1;
    const xip = [...this.open].filter((xid) => xid < xmax).toSorted((a, b) => a - b);
    return `${xip[0] ?? xmax}:${xmax}:${xip.join(',')}`;
  }
  private shows(snapshot: string, xid: number): boolean {
    const { xmax, xip } = parseSnapshot(snapshot);
    return BigInt(xid) < xmax && !xip.includes(String(xid));
  }
  /** What the SQL of the log reader does. */
  read(cursor: Cursor, limit: number): { seqs: number[]; next: Cursor } {
    const snapshot = this.snapshot();
    const visible = this.rows.filter((row) => this.committed.has(row.xid));
    const { xmax, xip } = parseSnapshot(cursor.snapshot);
    const low = visible
      .filter((row) => xip.includes(String(row.xid)) || BigInt(row.xid) >= xmax)
      .filter((row) => row.seq <= cursor.high && row.seq > (cursor.catchup?.seq ?? 0))
      .filter((row) => cursor.catchup === null || this.shows(cursor.catchup.snapshot, row.xid))
      .toSorted((a, b) => a.seq - b.seq)
      .slice(0, limit);
    const high =
      cursor.catchup !== null
        ? []
        : visible
            .filter((row) => row.seq > cursor.high)
            .toSorted((a, b) => a.seq - b.seq)
            .slice(0, limit - low.length);
    const next = cursorAfter(cursor, {
      snapshot,
      lowLast: low.at(-1)?.seq ?? null,
      lowFull: low.length >= limit,
      highLast: high.at(-1)?.seq ?? null,
    });
    return { seqs: [...low, ...high].map((row) => row.seq), next };
  }
}

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('begin' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('write' as const), which: fc.nat(), count: fc.integer({ min: 1, max: 6 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(), commit: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const) }) },
);

describe('cursor', () => {
  it('delivers every committed row exactly once, in any interleaving, with any page size', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), fc.integer({ min: 1, max: 5 }), (steps, limit) => {
        const model = new Model();
        let cursor: Cursor = { snapshot: model.snapshot(), high: 0, catchup: null, floor: 0 };
        const delivered: number[] = [];
        const read = () => {
          const page = model.read(cursor, limit);
          delivered.push(...page.seqs);
          cursor = page.next;
          return page.seqs.length;
        };
        const pick = (which: number) => [...model.open][which % Math.max(1, model.open.size)];
        for (const action of steps) {
          if (action.do === 'begin') model.begin();
          else if (action.do === 'read') read();
          else {
            const xid = pick(action.which);
            if (xid === undefined) continue;
            if (action.do === 'end') model.end(xid, action.commit);
            else for (let written = 0; written < action.count; written += 1) model.write(xid);
          }
        }
        for (const xid of model.open) model.end(xid, true);
        for (let silent = 0; silent < 2;) silent = read() === 0 ? silent + 1 : 0;
        const committed = model.rows.filter((row) => model.committed.has(row.xid)).map((row) => row.seq);
        expect(delivered.toSorted((a, b) => a - b)).toEqual(committed);
      }),
      { numRuns: 500 },
    );
  });
});

describe('mergeCursors', () => {
  it('is behind each of them', () => {
    const cursor = (snapshot: string, high: number): Cursor => ({ snapshot, high, catchup: null, floor: 0 });
    expect(mergeCursors([cursor('10:20:10,12', 50), cursor('15:15:', 40)])).toEqual(cursor('10:10:', 40));
  });

  it('looks for late committers wherever one of them would', () => {
    const cursor = (floor: number): Cursor => ({ snapshot: '15:15:', high: 200, catchup: null, floor });
    expect(mergeCursors([cursor(50), cursor(100)]).floor).toBe(50);
  });
});

describe('parseSnapshot', () => {
  it('reads what PostgreSQL prints and nothing else', () => {
    expect(parseSnapshot('10:20:10,12')).toEqual({ xmin: 10n, xmax: 20n, xip: ['10', '12'] });
    expect(parseSnapshot('5:5:').xip).toEqual([]);
    expect(() => parseSnapshot('5:5')).toThrow(TypeError);
  });
});
