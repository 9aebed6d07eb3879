/** What hiding leaves of messages, runs and jobs; and who may search by what is hidden. */
import { describe, expect, it } from 'vitest';
import {
  jobAsShown,
  withoutBoth,
  withoutData,
  withoutPayload,
  withoutValues,
} from '../../src/dashboard/server/hidden.ts';
import { checkValueSearch, maySearchValues } from '../../src/dashboard/server/value-search.ts';
import { createRedactor, showAll } from '../../src/runtime/redact.ts';

const SECRET = 'x-4711';
const VALUE = { card: SECRET };
const SHOWN = /x-4711/;
const textOf = (value: unknown): string => JSON.stringify(value);

describe('hidden is', () => {
  it('the payload of a message, whether or not it is due', () => {
    const shown = [
      withoutPayload({ id: 'm', envelope: { type: 'note', data: VALUE } } as never),
      withoutPayload({ scheduled: { id: 'm', payload: VALUE } } as never),
    ];
    for (const each of shown) {
      expect(textOf(each)).not.toMatch(SHOWN);
      expect(textOf(each)).toContain('"hidden":true');
    }
    expect(textOf(shown[0])).toContain('"type":"note"');
  });

  it('the payload of what is parked, and of what it would be', () => {
    expect(textOf(withoutData([{ id: 'm', data: VALUE }] as never))).not.toMatch(SHOWN);
    expect(textOf(withoutBoth({ before: VALUE, after: VALUE } as never))).not.toMatch(SHOWN);
  });

  it('every value of a run, wherever it stands', () => {
    const notes = ['payload', 'result', 'output', 'outputText', 'input', 'value'].map((name) => ({
      event: { t: 'signal', [name]: VALUE },
    }));
    const page = {
      result: VALUE,
      runMessages: [{ id: '1', body: VALUE }],
      timeline: { input: VALUE, result: VALUE, calls: [{ call: 'charge', input: VALUE, output: VALUE }], notes },
    };
    const shown = textOf(withoutValues(page as never));
    expect(shown).not.toMatch(SHOWN);
    expect(shown).toContain('"call":"charge"');
    expect(shown).toContain('"t":"signal"');
  });

  it('not that there is none', () => {
    expect(withoutData([{ data: null }] as never)).toEqual([{ data: null }]);
  });

  it('the output that a job gives to runs; what is redacted of it is shown to nobody', () => {
    const act = { kind: 'saga.resolve', select: {}, resolution: { call: null, as: 'done', output: VALUE } };
    const job = { id: 'j', act } as never;
    expect(textOf(jobAsShown(job, { hidden: true, redact: showAll }))).not.toMatch(SHOWN);
    expect(textOf(jobAsShown(job, { hidden: false, redact: createRedactor(['card']) }))).not.toMatch(SHOWN);
    expect(jobAsShown(job, { hidden: false, redact: showAll })).toEqual(job);
  });
});

describe('by values that are hidden', () => {
  const hiding = (redact: boolean, paths: readonly string[] = []) =>
    ({ facts: { redact }, redact: createRedactor(paths) }) as unknown as Parameters<typeof maySearchValues>[1];

  it('an operator may search, and a viewer may not: finding one would confirm it', () => {
    const roles = ['viewer', 'operator', 'admin'] as const;
    const may = (of: ReturnType<typeof hiding>) => roles.map((role) => maySearchValues({ role }, of));
    expect(may(hiding(false))).toEqual([true, true, true]);
    expect(may(hiding(true))).toEqual([false, true, true]);
    expect(may(hiding(false, ['card']))).toEqual([false, true, true]);
    expect(() => checkValueSearch({ role: 'viewer' }, hiding(true), { payload: VALUE })).toThrow(/may not search/);
    expect(() => checkValueSearch({ role: 'viewer' }, hiding(true), { payload: undefined })).not.toThrow();
  });

  it('nobody may search for a field that is shown to nobody', () => {
    const asAdmin = (payload: unknown) => () =>
      checkValueSearch({ role: 'admin' }, hiding(false, ['card']), { topic: undefined, payload });
    expect(asAdmin({ card: 'x' })).toThrow(/shown to nobody/);
    expect(asAdmin({ city: 'Riga' })).not.toThrow();
  });
});
