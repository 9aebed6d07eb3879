/**
 * A map from ids to what is here for a while.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IdMap } from '../../src/runtime/id-map.ts';

it('holds what a Map would hold, names of Object.prototype among the ids', () => {
  const id = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', 'toString');
  const act = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), id, value: fc.nat(9) }),
    fc.record({ kind: fc.constant('delete' as const), id }),
    fc.record({ kind: fc.constant('clear' as const), id }),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40, size: 'max' }), (acts) => {
      const ours = new IdMap<number>();
      const map = new Map<string, number>();
      for (const each of acts) {
        if (each.kind === 'set') {
          ours.set(each.id, each.value);
          map.set(each.id, each.value);
        } else if (each.kind === 'delete') {
          ours.delete(each.id);
          map.delete(each.id);
        } else {
          ours.clear();
          map.clear();
        }
        expect(ours.size).toBe(map.size);
        expect(ours.has(each.id)).toBe(map.has(each.id));
        expect(ours.get(each.id)).toBe(map.get(each.id));
      }
      expect(new Map(ours.entries())).toEqual(map);
      expect(ours.values().toSorted((a, b) => a - b)).toEqual([...map.values()].toSorted((a, b) => a - b));
    }),
  );
});
