/**
 * What to do about a stuck run: the meaning of each kind, and the commands that lead out of it. Pure.
 */
import type { StuckWhy } from '../../saga/journal/events.ts';

export interface StuckAdvice {
  /** One sentence on what has happened. */
  readonly meaning: string;
  /** What to do first, then the command; the likeliest way out stands first. */
  readonly ways: readonly { readonly when: string; readonly command: string }[];
}

type Way = StuckAdvice['ways'][number];

/** What the advice is about, and the commands that it can name. */
interface StuckCase {
  /** Null: the run as a whole. */
  readonly call: string | null;
  /** The call, or the run, in a sentence. */
  readonly named: string;
  readonly retry: (when: string) => Way;
  readonly resolve: (when: string, as: string) => Way;
  readonly skip: Way;
  readonly cancel: Way;
}

const ADVICE: Readonly<Record<StuckWhy, (stuck: StuckCase) => StuckAdvice>> = {
  compensation: ({ named, retry, resolve, skip }) => ({
    meaning: `Compensating ${named} gave up.`,
    ways: [retry('mend the cause, then try again'), resolve('compensated by hand', 'compensated'), skip],
  }),
  forward: ({ retry, resolve }) => ({
    meaning: 'It failed behind its pivot, where it can only go forward.',
    ways: [retry('mend the cause, then try again'), resolve('finished by hand', 'done')],
  }),
  code: ({ call, named, retry, resolve, cancel }) => ({
    meaning:
      call === null
        ? 'The code of the saga threw what nobody throws on purpose.'
        : `${named} threw what nobody throws on purpose; whether it has happened is not known.`,
    ways: [
      retry('deploy code that is mended, then try again'),
      ...(call === null ? [] : [resolve('it has happened', 'done')]),
      cancel,
    ],
  }),
  'in doubt': ({ named, retry, resolve }) => ({
    meaning: `Whether ${named}, its pivot, has happened is not known; find out on the other side.`,
    ways: [resolve('it has', 'done'), resolve('it has not', 'not-done'), retry('ask again')],
  }),
  'non-determinism': (stuck) => ({
    meaning: 'The code of the saga no longer does what the journal says it did.',
    ways: waysOfOtherCode(stuck),
  }),
  'outside await': (stuck) => ({
    meaning: 'The code of the saga waits for something that is no step.',
    ways: waysOfOtherCode(stuck),
  }),
  'kills workers': ({ call, named, retry, cancel }) => ({
    meaning:
      call === null
        ? 'Every worker that ran its code was lost before it recorded anything.'
        : `Every worker that made an attempt of ${named} was lost during it or stood still for longer than its lease, or the connection of its transaction broke; its error says which.`,
    ways: [
      retry('deploy code without the endless loop, or mend the server, or whatever it is, then try again'),
      cancel,
    ],
  }),
  'journal full': ({ retry, cancel }) => ({
    meaning: 'Its next calls would make its journal larger than the workers allow. None of them was begun.',
    ways: [retry('start the workers with a higher maxEvents or maxJournalBytes, then go on'), cancel],
  }),
  unrecordable: ({ retry, cancel }) => ({
    meaning: 'The database refuses what is to be recorded, for its data. What it had done by then may be done again.',
    ways: [retry('mend the value or the database (`holdfast doctor` reads its encoding), then try again'), cancel],
  }),
  'undefined step': ({ named, retry, resolve, skip }) => ({
    meaning: `What would compensate ${named} is not declared any more; of a child: no worker offers its version.`,
    ways: [
      retry('deploy code that declares it again (of a child: that version beside the new one), then try again'),
      resolve('compensated by hand', 'compensated'),
      skip,
    ],
  }),
};

export function adviseStuck(runId: string, why: StuckWhy, call: string | null): StuckAdvice {
  const which = call === null ? '' : ` ${quoted(call)}`;
  const named = call ?? 'the run';
  const advise = Object.hasOwn(ADVICE, why) ? ADVICE[why] : adviseUnknown;
  return advise({
    call,
    named,
    retry: (when) => ({ when, command: `holdfast saga retry ${runId}` }),
    resolve: (when, as) => ({ when, command: `holdfast saga resolve ${runId}${which} --as ${as} --reason '…'` }),
    skip: { when: `leave compensating ${named} out`, command: `holdfast saga skip ${runId}${which} --reason '…'` },
    cancel: { when: 'have it compensated', command: `holdfast saga cancel ${runId} --reason '…'` },
  });
}

/** A newer version has written why. */
function adviseUnknown({ retry, cancel }: StuckCase): StuckAdvice {
  return {
    meaning: 'Why is not known to this version of Holdfast; that of its worker says more.',
    ways: [retry('mend the cause, then try again'), cancel],
  };
}

function waysOfOtherCode({ retry, cancel }: StuckCase): readonly Way[] {
  return [retry('deploy code that fits (changed code wants a new version), then try again'), cancel];
}

/** Calls can hold what a shell would take for its own. */
function quoted(call: string): string {
  return /^[\w.:-]+$/.test(call) ? call : `'${call.replaceAll("'", String.raw`'\''`)}'`;
}
