/** What the page makes of what people change and choose, without a browser. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { patchBetween } from '../../src/dashboard/page/app/json-patch.ts';
import { parkedSelection, runActs } from '../../src/dashboard/page/app/selections.ts';
import { mergePatch } from '../../src/operations/parked/payload-revision.ts';
import { diffJson, nearChanges } from '../../src/runtime/json-diff.ts';

/** Of a member of an object, lists left out: what no merge patch can say. */
function saysNull(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).some((each) => each === null || saysNull(each));
}

describe('the patch between two values', () => {
  it('makes the one of the other, or says that none can', () => {
    const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);
    const related = fc.tuple(json, json).map(
      ([a, b]) =>
        [
          { x: a, y: b, z: { a } },
          { x: a, z: { b } },
        ] as const,
    );
    fc.assert(
      fc.property(fc.oneof(fc.tuple(json, json), related), ([before, after]) => {
        const found = patchBetween(before, after);
        if (found === null) expect(saysNull(after)).toBe(true);
        else expect(mergePatch(before, found.patch)).toEqual(after);
      }),
      { numRuns: 2_000 },
    );
  });

  it('leaves out what was not touched', () => {
    const before = {
      card: '[redacted]',
      n: 1,
      lines: [{ card: '[redacted]' }],
      gone: null,
      who: { name: 'a', city: 'b' },
    };
    const after = { ...before, n: 2, who: { name: 'a', city: 'c' } };
    expect(patchBetween(before, after)).toEqual({ patch: { n: 2, who: { city: 'c' } } });
    expect(patchBetween(before, { n: 1 })).toEqual({ patch: { card: null, lines: null, gone: null, who: null } });
    expect(patchBetween({ n: 1 }, { n: null })).toBeNull();
    expect(patchBetween({ n: 1 }, null)).toEqual({ patch: null });
  });
});

describe('an act on all of a list', () => {
  it('is for what narrows the list, and not offered where it cannot be', () => {
    expect(parkedSelection({})).toEqual({});
    expect(parkedSelection({ kind: 'relay', where: 'main', state: 'dead', topic: 'a.*' })).toEqual({
      subscription: 'main',
      topic: 'a.*',
      dead: true,
    });
    expect(parkedSelection({ kind: 'consumer', where: 'billing', key: 'k', group: 'g' })).toEqual({
      consumer: 'billing',
      key: 'k',
      group: 'g',
    });
    for (const filter of [{ kind: 'relay' }, { where: 'main' }, { state: 'behind' }, { state: 'failed' }])
      expect(parkedSelection(filter)).toBeNull();
  });

  it('of runs is for the states that it can be for', () => {
    expect(runActs({ status: 'stuck', saga: 's', version: '2' })).toEqual({
      select: { saga: 's', version: 2 },
      stuck: true,
      cancel: ['stuck'],
    });
    expect(runActs({ status: 'pending,running,waiting,compensating' })).toEqual({
      select: {},
      stuck: false,
      cancel: ['pending', 'running', 'waiting'],
    });
    expect(runActs({ saga: 's' })?.cancel).toEqual(['pending', 'running', 'waiting', 'stuck']);
    expect(runActs({ status: 'completed' })?.cancel).toBeNull();
    expect(runActs({})?.cancel).toBeNull();
    for (const filter of [{ key: 'o-1' }, { input: '{}' }, { version: 'x' }, { saga: 's', parent: 'p' }])
      expect(runActs(filter)).toBeNull();
  });
});

it('a difference is shown with the lines around its changes', () => {
  const before = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`n${n}`, n]));
  const lines = nearChanges(diffJson(before, { ...before, n15: 'x' }), 2).map((line) =>
    line === null ? '…' : `${line.sign}${line.text.trim()}`,
  );
  expect(lines).toEqual([
    '…',
    ' "n13": 13,',
    ' "n14": 14,',
    '-"n15": 15,',
    '+"n15": "x",',
    ' "n16": 16,',
    ' "n17": 17,',
    '…',
  ]);
  expect(nearChanges(diffJson(1, 1), 2)).toEqual([null]);
});
