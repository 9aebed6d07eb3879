/**
 * What can be done to a run, as acts for the dialog.
 */
import { commandLine } from '../../server/commands.ts';
import { openAct, type ActField } from '../app/acts.ts';
import type { WireRunPage } from '../app/wire.ts';

export interface RunActButton {
  readonly name: string;
  /** The likeliest way out of what it is stuck at. */
  readonly strong: boolean;
  readonly open: () => void;
}

const CAN_CANCEL: ReadonlySet<string> = new Set(['pending', 'running', 'waiting', 'stuck']);
const CAN_SIGNAL: ReadonlySet<string> = new Set(['pending', 'running', 'waiting', 'stuck']);

/** Those that make sense for the run as it is now; the server has the last word. */
export function actsOnRun({ run, timeline, restarts }: WireRunPage, done: () => void): readonly RunActButton[] {
  const { id, status } = run;
  const over = run.finishedAt !== null && run.parent === null && restarts.as === null;
  const stuck = status === 'stuck' ? timeline.stuck : null;
  const back = timeline.compensating !== null || stuck?.why === 'compensation' || stuck?.why === 'undefined step';
  return [
    ...(stuck === null
      ? []
      : [
          { name: 'Try again', strong: true, open: () => askRetryRun(id, done) },
          { name: 'Resolve', strong: false, open: () => askResolve(id, stuck.call, back, done) },
          ...(back ? [{ name: 'Skip', strong: false, open: () => askSkip(id, stuck.call, done) }] : []),
        ]),
    ...(CAN_SIGNAL.has(status)
      ? [{ name: 'Signal', strong: false, open: () => askSignal(id, waitedFor(timeline), done) }]
      : []),
    ...(CAN_CANCEL.has(status) && !run.pivoted && timeline.compensating === null
      ? [{ name: 'Cancel', strong: false, open: () => askCancel(id, done) }]
      : []),
    ...(over ? [{ name: 'Start again', strong: false, open: () => askRestart(run, done) }] : []),
  ];
}

function waitedFor({ calls }: WireRunPage['timeline']): string {
  return calls.find(({ kind, state }) => kind === 'wait' && state === 'waiting')?.step ?? '';
}

function askRetryRun(id: string, done: () => void): void {
  openAct.value = {
    title: 'Try the run again',
    text: 'It goes on where it stopped, with all its attempts anew. Mend the cause first.',
    confirm: 'Try again',
    path: `runs/${id}/retry`,
    body: (_values, reason) => ({ reason }),
    command: (_values, reason) => commandLine(['saga', 'retry', id], { reason }),
    done,
  };
}

function askCancel(id: string, done: () => void): void {
  openAct.value = {
    title: 'Cancel the run',
    text: 'What it has done is compensated, the last call first.',
    confirm: 'Cancel the run',
    grave: true,
    path: `runs/${id}/cancel`,
    body: (_values, reason) => ({ reason }),
    command: (_values, reason) => commandLine(['saga', 'cancel', id], { reason }),
    done,
  };
}

function askRestart({ id, status, version, key }: WireRunPage['run'], done: () => void): void {
  const again = status === 'completed' ? 'Everything that it did is done a second time.' : 'What it did is done anew.';
  const inputOf = (values: Readonly<Record<string, string>>): string => (values['input'] ?? '').trim();
  openAct.value = {
    title: 'Start the run again',
    text: `${again} A new run begins${key === null ? '' : ` and gets the key ${key}`}; this one stays as it ended.`,
    confirm: 'Start it',
    grave: status === 'completed',
    fields: [
      {
        name: 'version',
        label: 'Version of the saga',
        kind: 'choice',
        choices: [
          ['same', `the same, ${version}`],
          ['newest', 'the newest that a worker runs'],
        ],
        value: 'same',
      },
      { name: 'input', label: 'Another input, as JSON; empty: the same', kind: 'json' },
    ],
    path: `runs/${id}/restart`,
    body: (values, reason) => ({
      ...(values['version'] === 'newest' ? { version: 'newest' } : {}),
      ...(inputOf(values) === '' ? {} : { input: JSON.parse(inputOf(values)) as unknown }),
      reason,
    }),
    command: (values, reason) =>
      commandLine(['saga', 'restart', id], {
        'saga-version': values['version'] === 'newest' ? 'newest' : undefined,
        input: inputOf(values) === '' ? undefined : inputOf(values),
        reason,
      }),
    done,
  };
}

function askSkip(id: string, call: string | null, done: () => void): void {
  openAct.value = {
    title: 'Skip the compensation',
    text: `What ${call ?? 'it is stuck at'} did stays as it is. The run goes on compensating what came before it.`,
    confirm: 'Skip it',
    grave: true,
    path: `runs/${id}/skip`,
    body: (_values, reason) => ({ call, reason }),
    command: (_values, reason) => commandLine(['saga', 'skip', id, call], { reason }),
    done,
  };
}

function askResolve(id: string, call: string | null, back: boolean, done: () => void): void {
  const choices: NonNullable<ActField['choices']> = [
    ...(back ? [['compensated', 'compensated by hand'] as const] : [['done', 'it has happened'] as const]),
    ['not done', 'it has not happened'],
    ...(back
      ? [['done', 'it has happened'] as const]
      : [['compensated', 'compensated by hand: the run as a whole'] as const]),
  ];
  const outputOf = (values: Readonly<Record<string, string>>): { readonly output?: unknown } =>
    values['as'] === 'done' && (values['output'] ?? '').trim() !== ''
      ? { output: JSON.parse(values['output'] ?? '') as unknown }
      : {};
  openAct.value = {
    title: `Say what became of ${call ?? 'the run'}`,
    text: 'Find out on the other side first: the run goes on from what you say, and records that you said it.',
    confirm: 'Resolve it',
    grave: true,
    fields: [
      { name: 'as', label: 'It is', kind: 'choice', choices, value: choices[0]?.[0] ?? '' },
      { name: 'output', label: 'Its output as JSON, where it has happened', kind: 'json' },
    ],
    path: `runs/${id}/resolve`,
    body: (values, reason) => ({ call, as: values['as'], ...outputOf(values), reason }),
    command: (values, reason) =>
      commandLine(['saga', 'resolve', id, call], {
        as: (values['as'] ?? '').replace(' ', '-'),
        output: values['as'] === 'done' && (values['output'] ?? '').trim() !== '' ? values['output'] : undefined,
        reason,
      }),
    done,
  };
}

function askSignal(id: string, name: string, done: () => void): void {
  const payloadOf = (values: Readonly<Record<string, string>>): string => (values['payload'] ?? '').trim();
  openAct.value = {
    title: 'Send a signal',
    text: 'The run takes it when its code waits for it; until then it is kept.',
    confirm: 'Send it',
    fields: [
      { name: 'name', label: 'Signal', kind: 'text', required: true, value: name },
      { name: 'payload', label: 'Payload as JSON', kind: 'json' },
    ],
    path: `runs/${id}/signal`,
    body: (values, reason) => ({
      name: values['name'],
      ...(payloadOf(values) === '' ? {} : { payload: JSON.parse(payloadOf(values)) as unknown }),
      reason,
    }),
    command: (values, reason) =>
      commandLine(['saga', 'signal', id, values['name'] === '' ? '…' : values['name']], {
        payload: payloadOf(values) === '' ? undefined : payloadOf(values),
        reason,
      }),
    done,
  };
}
