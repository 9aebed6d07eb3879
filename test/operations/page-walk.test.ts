/** Pages of a list, joined, are the whole list: whatever comes and goes meanwhile, however far each looked, and both ways. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idDigits, uuidOf, uuidRange } from '../../src/operations/reads/id-prefix.ts';
import { readPageCursor, writePageCursor, type PageCursor } from '../../src/operations/reads/page-cursor.ts';
import { walkPage, type Place, type Stretch, type Walk } from '../../src/operations/reads/page-walk.ts';

interface Row {
  readonly seq: number;
  readonly fits: boolean;
}

/** The list as the database has it. Every `slowEvery`-th look that is longer than the shortest runs out of time. */
class List {
  rows: Row[] = [];
  looks = 0;
  readonly #slowEvery: number;

  constructor(slowEvery = 0) {
    this.#slowEvery = slowEvery;
  }

  async stretch(place: Place | null, size: number, want: number): Promise<Stretch<Row>> {
    const isOlder = place?.to !== 'newer';
    const key = Number(place?.key[0] ?? Infinity);
    const walked = this.rows
      .filter(({ seq }) => (seq === key ? place?.inclusive : isOlder ? seq < key : seq > key))
      .toSorted((a, b) => (isOlder ? b.seq - a.seq : a.seq - b.seq))
      .slice(0, size);
    const edge = walked.at(-1);
    return {
      rows: walked.filter(({ fits }) => fits).slice(0, want),
      looked: walked.length,
      edge: edge === undefined ? null : [String(edge.seq)],
      edgeAt: edge?.seq ?? null,
    };
  }

  page(cursor: string | null, limit: number, unfiltered = false) {
    const walk: Walk<Row> = {
      order: 'seq',
      from: cursor === null ? null : readPageCursor(cursor, ['seq']),
      limit,
      unfiltered,
      // Each page ends after its first look.
      lookForMs: 0,
      stretch: async (place, size, want) => {
        this.looks += 1;
        if (this.#slowEvery > 0 && this.looks % this.#slowEvery === 0 && size > 10) return null;
        return cutTo(await this.stretch(place, Math.min(size, MOST), want), size);
      },
      keyOf: ({ seq }) => [String(seq)],
      timeOf: ({ seq }) => new Date(seq),
    };
    return walkPage(walk);
  }
}

/** A look at a few rows stands for one at as many as were asked for, so that short lists have many pages. */
const MOST = 7;
function cutTo(found: Stretch<Row>, size: number): Stretch<Row> {
  return found.looked < MOST ? found : { ...found, looked: size };
}

const rowsOf = fc
  .uniqueArray(fc.integer({ min: 1, max: 400 }), { maxLength: 60, size: 'max' })
  .chain((seqs) =>
    fc
      .array(fc.boolean(), { minLength: seqs.length, maxLength: seqs.length })
      .map((fits) => seqs.map((seq, index) => ({ seq, fits: fits[index] === true }))),
  );

describe('pages', () => {
  it('towards the older are the whole list, each row once, whatever is added meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsOf,
        rowsOf,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 3 }),
        async (first, more, limit, slow) => {
          const list = new List(slow);
          list.rows = [...first];
          const seen: number[] = [];
          let cursor: string | null = null;
          for (let pages = 0; pages === 0 || cursor !== null; pages += 1) {
            expect(pages).toBeLessThan(500);
            const page = await list.page(cursor, limit);
            seen.push(...page.rows.map(({ seq }) => seq));
            if (page.rows.length < limit && page.older !== null) expect(page.looked.complete).toBe(false);
            cursor = page.older;
            const added = more[pages];
            if (added !== undefined && !list.rows.some(({ seq }) => seq === added.seq)) list.rows.push(added);
          }
          expect(seen).toEqual(seen.toSorted((a, b) => b - a));
          expect(new Set(seen).size).toBe(seen.length);
          const there = first.filter(({ fits }) => fits).map(({ seq }) => seq);
          expect(there.filter((seq) => !seen.includes(seq))).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('and back again are the same rows, and what was added at the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsOf,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 3 }),
        async (rows, limit, slow) => {
          const list = new List(slow);
          list.rows = [...rows];
          let page = await list.page(null, limit);
          while (page.older !== null) page = await list.page(page.older, limit);
          // The last page of the way down, then all before it.
          const seen = page.rows.map(({ seq }) => seq).toReversed();
          let newer = page.newer;
          for (let pages = 0; newer !== null; pages += 1) {
            expect(pages).toBeLessThan(500);
            page = await list.page(newer, limit);
            seen.push(...page.rows.map(({ seq }) => seq).toReversed());
            if (page.looked.complete && page.rows.length < limit) break;
            newer = page.newer;
          }
          const there = rows
            .filter(({ fits }) => fits)
            .map(({ seq }) => seq)
            .toSorted((a, b) => a - b);
          expect(seen).toEqual(there);
          list.rows.push({ seq: 1_000, fits: true });
          if (page.newer !== null)
            expect((await list.page(page.newer, limit)).rows.map(({ seq }) => seq)).toEqual([1_000]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('says that it is over when even a few rows take too long', async () => {
    const page = walkPage<Row>({
      order: 'seq',
      from: null,
      limit: 5,
      unfiltered: false,
      lookForMs: 100,
      stretch: async () => null,
      keyOf: ({ seq }) => [String(seq)],
      timeOf: ({ seq }) => new Date(seq),
    });
    await expect(page).rejects.toMatchObject({ code: 'HF_READ_TIMEOUT' });
  });
});

describe('a cursor', () => {
  const cursors: fc.Arbitrary<PageCursor> = fc.record({
    order: fc.constant('finished' as const),
    to: fc.constantFrom('older', 'newer'),
    inclusive: fc.boolean(),
    key: fc.tuple(fc.nat().map(String), fc.uuid()),
  });

  it('comes back as it was, and can stand in a URL', () => {
    fc.assert(
      fc.property(cursors, (cursor) => {
        const text = writePageCursor(cursor);
        expect(encodeURIComponent(text)).toBe(text);
        expect(readPageCursor(text, ['finished'])).toEqual(cursor);
      }),
    );
  });

  it('that is none, or one of another list, is refused', () => {
    const refused = { code: 'HF_CONFIG' };
    const read = (text: unknown) => () => readPageCursor(text as string, ['seq']);
    for (const text of ['', 'x', '%%%', 'W10', Buffer.from('[1,"seq",0,0,"1; DROP"]').toString('base64url'), 7, null])
      expect(read(text)).toThrow(expect.objectContaining(refused));
    expect(
      read(writePageCursor({ order: 'id', to: 'older', inclusive: false, key: [uuidOf('0'.repeat(32))] })),
    ).toThrow(/of a list by id/);
    const isRefused = (text: string): void => {
      expect(read(text)).toThrow(expect.objectContaining(refused));
    };
    fc.assert(fc.property(fc.string(), isRefused));
    fc.assert(
      fc.property(
        fc.json().map((text) => Buffer.from(text).toString('base64url')),
        isRefused,
      ),
    );
  });
});

describe('an id as people have it in hand', () => {
  it('is known whole, cut, quoted, and without dashes', () => {
    const whole = '0199f3a0-7b1c-7cc0-9d7e-3a4b5c6d7e8f';
    const digits = whole.replaceAll('-', '');
    for (const text of [whole, whole.toUpperCase(), digits, `"${whole}"`, ` ${whole}, `, `(${whole}).`])
      expect(idDigits(text)).toBe(digits);
    expect(idDigits('0199f3a0-7b…')).toBe('0199f3a07b');
    for (const text of ['', 'o-1', '019', 'order', '--', '0199--f3a0', `${whole}0`, 'not-an-id'])
      expect(idDigits(text)).toBe(null);
    expect(uuidRange('0199F3A0-7')).toEqual([
      '0199f3a0-7000-0000-0000-000000000000',
      '0199f3a0-7fff-ffff-ffff-ffffffffffff',
    ]);
    expect(() => uuidRange('o-1')).toThrow(/not how an id begins/);
  });
});
