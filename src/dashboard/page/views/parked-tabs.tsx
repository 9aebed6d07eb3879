/**
 * The two ways to look at what is parked: by error, and one by one. What narrows the one narrows the other, where it can.
 */
import type { VNode } from 'preact';
import { hrefTo } from '../app/router.ts';
import type { ListFilter } from '../app/selections.ts';

export function ParkedTabs({ here, query }: { readonly here: 'groups' | 'list'; readonly query: ListFilter }): VNode {
  const current = (which: string) => (here === which ? { 'aria-current': 'page' as const } : {});
  return (
    <nav class="tabs" aria-label="Parked messages">
      <a href={hrefTo('parked-groups', here === 'groups' ? query : groupsQuery(query))} {...current('groups')}>
        By error
      </a>
      <a href={hrefTo('parked', here === 'list' ? query : listQuery(query))} {...current('list')}>
        One by one
      </a>
    </nav>
  );
}

function groupsQuery({ kind, where, topic, key, state }: ListFilter): ListFilter {
  return {
    ...(where === undefined || kind === undefined ? {} : { [kind === 'relay' ? 'subscription' : 'consumer']: where }),
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(state === 'dead' ? { dead: '1' } : {}),
  };
}

function listQuery({ subscription, consumer, topic, key, dead }: ListFilter): ListFilter {
  const where = subscription ?? consumer;
  return {
    ...(where === undefined ? {} : { where, kind: subscription === undefined ? 'consumer' : 'relay' }),
    ...(topic === undefined ? {} : { topic }),
    ...(key === undefined ? {} : { key }),
    ...(dead === undefined ? {} : { state: 'dead' }),
  };
}
