/**
 * What all relays of one subscription must have alike: with two sets of routes, what becomes of a message would depend on who holds the
 * lease when it comes by. Pure.
 */
import type { Route } from './routes.ts';

export interface SharedSettings {
  readonly routes: readonly { readonly topics: readonly string[]; readonly to: string; readonly ordered: boolean }[];
  readonly onRefused: 'park-key' | 'skip';
  readonly retentionMs: number;
}

/** What was changed by a start, and whether another relay was serving with it. */
export interface Superseded {
  /** Null: the settings are the same. */
  readonly before: SharedSettings | null;
  /** Where it published; null: there as well, or not known. One broker may have two names, so this keeps nobody from the subscription. */
  readonly broker: string | null;
  readonly held: boolean;
}

/** The order in which routes and topics are written says nothing, so it is left out. */
export function sharedSettings(routes: readonly Route[], rest: Omit<SharedSettings, 'routes'>): SharedSettings {
  const plain = routes.map(({ topics, to, ordered = false }) => ({
    topics: (typeof topics === 'string' ? [topics] : [...topics]).toSorted(),
    to,
    ordered,
  }));
  const text = (route: object) => JSON.stringify(route);
  return { routes: plain.toSorted((a, b) => (text(a) < text(b) ? -1 : 1)), ...rest };
}

/** In words, what differs: for a line of log. */
export function differences(before: SharedSettings, now: SharedSettings): readonly string[] {
  const routes = ({ routes: all }: SharedSettings) =>
    new Set(all.map(({ topics, to, ordered }) => `${topics.join(',')}=${to}${ordered ? ':ordered' : ''}`));
  const [old, fresh] = [routes(before), routes(now)];
  return [
    ...[...old].filter((route) => !fresh.has(route)).map((route) => `without the route ${route}`),
    ...[...fresh].filter((route) => !old.has(route)).map((route) => `with the route ${route}`),
    ...(before.onRefused === now.onRefused ? [] : [`onRefused ${now.onRefused} instead of ${before.onRefused}`]),
    ...(before.retentionMs === now.retentionMs
      ? []
      : [`retention ${now.retentionMs} ms instead of ${before.retentionMs} ms`]),
  ];
}
