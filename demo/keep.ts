/**
 * `npm run demo -- --keep`: after the audit all goes on at a slow pace, so that there is something to look at and something to mend. What
 * is typed makes a participant fail, or mends it.
 */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { DemoDashboard } from './dashboard.ts';
import type { Fleet } from './fleet.ts';
import type { Screen } from './screen.ts';
import {
  readRequest,
  TROUBLE_NAMES,
  TROUBLES,
  type TroubleName,
  type TroubleOrder,
  type TroubleRequest,
} from './troubles.ts';

/** Between two orders, in milliseconds. */
export const KEPT_EVERY_MS = 2_000;

export interface KeepOptions {
  readonly fleet: Pick<Fleet, 'tell'>;
  readonly screen: Pick<Screen, 'say' | 'story'>;
  readonly dashboard: DemoDashboard | null;
  /** A run that is worth a look. */
  readonly run: { readonly id: string; readonly key: string | null } | null;
  /** What is typed. */
  readonly input: Readable;
}

/** Says what there is to do, and does what is typed. When nothing more can be typed, all stays as it is. */
export function keepUp({ fleet, screen, dashboard, run, input }: KeepOptions): void {
  screen.story('The demo stays up', () => introduction(dashboard, run).join('\n'));
  createInterface({ input }).on('line', (line) => {
    if (line.trim() === '') return;
    const request = readRequest(line);
    for (const each of request === null ? usage() : obey(request, fleet)) screen.say(each);
  });
}

function introduction(dashboard: DemoDashboard | null, run: KeepOptions['run']): readonly string[] {
  const pages =
    dashboard === null
      ? []
      : [
          `The dashboard:  ${dashboard.url}`,
          ...(run === null ? [] : [`the run above:  ${dashboard.urlOf('orders')}runs/${run.id}`]),
          '',
        ];
  return [`Orders go on, one every ${KEPT_EVERY_MS / 1_000} s. Ctrl-C ends everything.`, '', ...pages, ...usage(), ''];
}

function usage(): readonly string[] {
  const width = Math.max(...TROUBLE_NAMES.map((name) => name.length));
  return [
    'Type a line:',
    ...TROUBLE_NAMES.map((name) => `  fail ${name.padEnd(width)}  ${TROUBLES[name].says}: ${TROUBLES[name].outcome}`),
    `  mend ${'NAME'.padEnd(width)}  it works again; mend all: everything does`,
  ];
}

/** What it says about it. */
function obey({ verb, names }: TroubleRequest, fleet: KeepOptions['fleet']): readonly string[] {
  for (const name of names) {
    const { service, task, says } = TROUBLES[name];
    fleet.tell(service, { kind: 'trouble', task, says: verb === 'fail' ? says : null } satisfies TroubleOrder);
  }
  if (verb === 'fail') return names.map((name) => `${name}: ${TROUBLES[name].says}, so ${TROUBLES[name].outcome}.`);
  return [mended(names)];
}

function mended(names: readonly TroubleName[]): string {
  const [only] = names;
  return `${names.length === 1 && only !== undefined ? only : 'everything'}: mended. What is stuck is tried again in the dashboard, or by holdfast saga retry.`;
}
