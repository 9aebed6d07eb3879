/**
 * Who may search by what payloads, inputs and headers hold. A search tells whether a value is there, so it would tell what is hidden: a card's
 * number is confirmed by finding it.
 */
import { isDeepStrictEqual } from 'node:util';
import { showAll } from '../../runtime/redact.ts';
import type { ProcessServices } from './api-route.ts';
import { mayAs } from './authenticator.ts';
import type { DashboardRole } from './contract.ts';
import { RequestRefusal } from './failure.ts';
import type { Asker } from './who-asks.ts';

type Hiding = Pick<ProcessServices, 'facts' | 'redact'>;

/** Who may reveal a payload (routes-act.ts) learns nothing by finding it. */
const MAY_REVEAL: DashboardRole = 'operator';

/** Pure. */
export function maySearchValues({ role }: Pick<Asker, 'role'>, { facts, redact }: Hiding): boolean {
  return (!facts.redact && redact === showAll) || mayAs(role, MAY_REVEAL);
}

/** What a search asks for, by the names of its parameters; undefined: it does not. */
export type SearchedValues = Readonly<Record<string, unknown>>;

/** Pure. Throws RequestRefusal for who may not, and, whoever asks, for a field that is shown to nobody. */
export function checkValueSearch(by: Pick<Asker, 'role'>, hiding: Hiding, asked: SearchedValues): void {
  const given = Object.entries(asked).filter(([, value]) => value !== undefined);
  if (given.length === 0) return;
  if (!maySearchValues(by, hiding)) {
    const names = given.map(([name]) => name).join(' and ');
    throw new RequestRefusal(
      403,
      'HF_ROLE',
      `A ${by.role} may not search by ${names} here: it takes an ${MAY_REVEAL}.`,
      {
        advice: 'Values are hidden here, and finding one would confirm it. Search by topic, key, id or time.',
      },
    );
  }
  for (const [name, value] of given) {
    if (isDeepStrictEqual(hiding.redact(value), value)) continue;
    throw new RequestRefusal(403, 'HF_ROLE', `The ${name} names a field that is shown to nobody.`, {
      advice: '`redact` of the configuration hides it, and finding a value would confirm it. Leave that field out.',
    });
  }
}
