/** Events written as text are those that JSON.stringify would write. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { calledText, doneText, withText } from '../../src/saga/journal/event-text.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';

type Called = Omit<Extract<JournalEvent, { t: 'called' }>, 't' | 'input'>;

/** One for each field, so that a field which is added to the event is missed here. */
const fields: { readonly [Field in keyof Required<Called>]: fc.Arbitrary<Called[Field]> } = {
  call: fc.string(),
  kind: fc.constantFrom('step', 'transaction', 'command', 'emit', 'child', 'sleep', 'wait'),
  step: fc.string(),
  until: fc.integer(),
  child: fc.uuid(),
  undoable: fc.option(fc.constant(true as const), { nil: undefined }),
  version: fc.option(fc.nat(), { nil: undefined }),
  pivot: fc.constant(true),
};
const called = fc.record(fields, { requiredKeys: ['call', 'kind', 'step'] }) as fc.Arbitrary<Called>;
const json = fc.option(fc.jsonValue(), { nil: undefined });
const textOf = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));
const written = (event: object): unknown => JSON.parse(JSON.stringify(event));

describe('an event as text', () => {
  it('called', () => {
    fc.assert(
      fc.property(called, json, (event, input) => {
        expect(JSON.parse(calledText(event, textOf(input)))).toEqual(written({ t: 'called', ...event, input }));
      }),
    );
  });

  it('done', () => {
    fc.assert(
      fc.property(fc.string(), json, (call, output) => {
        expect(JSON.parse(doneText(call, textOf(output)))).toEqual(written({ t: 'done', call, output }));
      }),
    );
  });

  it('any other, with one value that is text', () => {
    fc.assert(
      fc.property(json, (result) => {
        expect(JSON.parse(withText({ t: 'completed' }, 'result', textOf(result)))).toEqual(
          written({ t: 'completed', result }),
        );
      }),
    );
  });
});
