/**
 * Acts on all runs of a list, where they can be narrowed as the list is.
 */
import type { VNode } from 'preact';
import { mayAct, type ActValues } from '../app/acts.ts';
import { place } from '../app/router.ts';
import { runActs } from '../app/selections.ts';
import { ManyButton, type ManyAct } from './many-acts.tsx';

/** Where in the list one is, narrows nothing. */
const PLACES: ReadonlySet<string> = new Set(['cursor', 'way']);

/** For what is in the address. */
export function ManyRuns(): VNode | null {
  const filter = Object.fromEntries(
    [...place.value.query].filter(([name, value]) => value !== '' && !PLACES.has(name)),
  );
  const acts = mayAct.value ? runActs(filter) : null;
  if (acts === null || (!acts.stuck && acts.cancel === null)) return null;
  const { select, stuck, cancel } = acts;
  return (
    <span class="acts">
      {stuck ? (
        <>
          <ManyButton label="Retry all" many={{ ...RETRY, select }} />
          <ManyButton label="Skip all" many={{ ...SKIP, select }} />
          <ManyButton label="Resolve all" many={{ ...RESOLVE, select }} />
        </>
      ) : null}
      {cancel === null ? null : (
        <ManyButton
          label={stuck ? 'Cancel all' : 'Cancel all under way'}
          look="grave"
          many={{ ...CANCEL, select: { ...select, status: cancel } }}
        />
      )}
    </span>
  );
}

type Prepared = Omit<ManyAct, 'select'>;
const LATER = 'What starts or gets stuck from now on is left alone.';

const RETRY: Prepared = {
  on: 'runs',
  act: 'retry',
  title: 'Try all of them again',
  text: `Each goes on where it is stuck, with all its attempts anew. Mend the cause first. ${LATER}`,
  verb: 'Retry',
};
const SKIP: Prepared = {
  on: 'runs',
  act: 'skip',
  title: 'Skip what they are stuck at',
  text: `The compensation that each is stuck at is left out: what its call did stays. Runs that are stuck at something else are passed over. ${LATER}`,
  verb: 'Skip it in',
  grave: true,
};
const CANCEL: Prepared = {
  on: 'runs',
  act: 'cancel',
  title: 'Cancel all of them',
  text: `What each has done is compensated, the last call first. Those behind their pivot are passed over. ${LATER}`,
  verb: 'Cancel',
  grave: true,
};

const outputOf = (values: ActValues): string => (values['as'] === 'done' ? (values['output'] ?? '').trim() : '');
const RESOLVE: Prepared = {
  on: 'runs',
  act: 'resolve',
  title: 'Say what became of what they are stuck at',
  text: `Find out on the other side first, for each of them: they go on from what you say. Runs where it makes no sense are passed over. ${LATER}`,
  verb: 'Resolve',
  grave: true,
  fields: [
    {
      name: 'as',
      label: 'It is, in each of them',
      kind: 'choice',
      value: 'not done',
      choices: [
        ['not done', 'it has not happened'],
        ['done', 'it has happened'],
        ['compensated', 'compensated by hand'],
      ],
    },
    { name: 'output', label: 'Its output as JSON, where it has happened', kind: 'json' },
  ],
  added: (values) => ({
    resolution: {
      as: values['as'],
      ...(outputOf(values) === '' ? {} : { output: JSON.parse(outputOf(values)) as unknown }),
    },
  }),
  flags: (values) => ({
    as: (values['as'] ?? '').replace(' ', '-'),
    output: outputOf(values) === '' ? undefined : outputOf(values),
  }),
};
