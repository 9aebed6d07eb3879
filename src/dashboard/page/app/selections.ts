/**
 * What an act on all of a list is for: what the list is narrowed by, where an act can be narrowed so. Where it cannot, no act is offered, for
 * nobody is to act on more than they see. Pure.
 */

/** What stands in the address, without places in the list. */
export type ListFilter = Readonly<Record<string, string>>;

/** The failed ones among the parked messages of a list; null: no act can be narrowed so. */
export function parkedSelection(filter: ListFilter): Readonly<Record<string, unknown>> | null {
  const { kind, where, topic, key, state, group } = filter;
  if ((kind === undefined) !== (where === undefined) || (state !== undefined && state !== 'dead')) return null;
  return {
    ...(where === undefined ? {} : { [kind === 'relay' ? 'subscription' : 'consumer']: where }),
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(group === undefined ? {} : { group }),
    ...(state === 'dead' ? { dead: true } : {}),
  };
}

export interface RunActs {
  /** Without the status. */
  readonly select: Readonly<Record<string, unknown>>;
  /** All of the list are stuck. */
  readonly stuck: boolean;
  /** States of those in the list that can be cancelled; null: there are none, or nothing narrows the list. */
  readonly cancel: readonly string[] | null;
}

const OF_RUNS: ReadonlySet<string> = new Set(['saga', 'version', 'error', 'since', 'until', 'status']);
const CANCELLABLE: readonly string[] = ['pending', 'running', 'waiting', 'stuck'];

/** What can be done to all runs of a list; null: nothing. */
export function runActs(filter: ListFilter): RunActs | null {
  if (Object.keys(filter).some((name) => !OF_RUNS.has(name))) return null;
  const { status, version, ...others } = filter;
  if (version !== undefined && !/^[1-9]\d{0,8}$/.test(version)) return null;
  const select = version === undefined ? others : { ...others, version: Number(version) };
  const asked = status?.split(',');
  const cancel = CANCELLABLE.filter((each) => asked?.includes(each) ?? true);
  const narrowed = asked !== undefined || Object.keys(select).length > 0;
  return { select, stuck: status === 'stuck', cancel: narrowed && cancel.length > 0 ? cancel : null };
}
