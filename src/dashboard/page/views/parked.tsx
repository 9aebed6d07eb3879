/**
 * What has been set aside: messages that relays could not publish and consumers could not handle.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ListPage } from '../../server/contract.ts';
import { mayAct } from '../app/acts.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, queryNow } from '../app/router.ts';
import { countText, spanText } from '../app/texts.ts';
import type { WireParked, WireParkedDetails } from '../app/wire.ts';
import { CopyButton, IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { PagedGrid, type GridColumn } from '../parts/grid.tsx';
import { Mark, parkedLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Payload, Plain, RevealButton } from '../parts/payload.tsx';
import { ValueList, Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';
import { askDiscard, askRetry, askRetryAll } from './parked-acts.ts';

const FIELDS: readonly FilterField[] = [
  {
    name: 'kind',
    label: 'Parked by',
    choices: [
      ['', 'relays and consumers'],
      ['relay', 'relays: not published'],
      ['consumer', 'consumers: not handled'],
    ],
  },
  {
    name: 'state',
    label: 'State',
    choices: [
      ['', 'any'],
      ['dead', 'dead letters'],
      ['failed', 'to be retried'],
      ['behind', 'waits behind another'],
    ],
  },
  { name: 'where', label: 'At', hint: 'subscription or consumer' },
  { name: 'topic', label: 'Topic', hint: 'order.*' },
  { name: 'key', label: 'Key', hint: 'the whole key' },
];
const ASKED = [...FIELDS.map(({ name }) => name), 'cursor'];

const COLUMNS: readonly GridColumn<WireParked>[] = [
  {
    title: 'Topic',
    cell: ({ id, topic }) => (
      <a class="row-link" href={hrefTo(`parked/${id}`)}>
        {topic}
      </a>
    ),
  },
  { title: 'State', cell: ({ state }) => <Mark look={parkedLook(state)} /> },
  { title: 'At', cell: ({ kind, where }) => <span title={kind}>{where}</span> },
  { title: 'Key', cell: ({ key }) => (key === null ? <span class="quiet">none</span> : <Plain text={key} />) },
  {
    title: 'Why',
    kind: 'wide',
    cell: ({ reason, error }) => (
      <span title={error ?? reason}>
        <Plain text={error ?? reason} />
      </span>
    ),
  },
  { title: 'Tries', kind: 'number', cell: ({ attempts }) => attempts },
  { title: 'Since', cell: ({ parkedAt }) => <Moment at={parkedAt} /> },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function ParkedScreen(): VNode {
  const query = queryNow(ASKED);
  const cursor = query['cursor'] ?? null;
  const loaded = useLoaded<ListPage<WireParked>>('parked', query, { every: cursor === null ? 5_000 : null });
  const first = loaded.data?.items[0];
  const chosen =
    first !== undefined && query['where'] === first.where && query['topic'] === undefined && query['key'] === undefined;
  return (
    <Screen
      title="Parked"
      aside={
        mayAct.value && chosen ? (
          <button type="button" class="button" onClick={() => askRetryAll(first, loaded.reload)}>
            Try all of {first.where} again
          </button>
        ) : null
      }
    >
      <Filters fields={FIELDS} />
      <PagedGrid
        caption="Parked messages"
        columns={COLUMNS}
        keyOf={({ kind, where, id }) => `${kind}/${where}/${id}`}
        loaded={loaded}
        cursor={cursor}
        older="Newer ones"
        empty={
          <EmptyNote>
            Nothing is parked here. Messages that cannot be published or handled are set aside in this list, oldest
            first.
          </EmptyNote>
        }
      />
    </Screen>
  );
}

interface Places {
  readonly places: readonly WireParkedDetails[];
}

export function ParkedMessageScreen({ id }: { readonly id: string }): VNode {
  const loaded = useLoaded<Places>(`parked/${encodeURIComponent(id)}`, {}, { every: 5_000 });
  const [revealed, reveal] = useState<Places | null>(null);
  return (
    <Screen
      title="Parked message"
      aside={
        <span class="whole-id">
          <code>{id}</code>
          <CopyButton text={id} what="the id" />
        </span>
      }
    >
      <p>
        <a href={hrefTo(`messages/${id}`)}>The message and its way</a>
      </p>
      <Answered loaded={loaded}>
        {({ places }) => (
          <>
            <RevealButton path={`parked/${id}`} revealed={(answer) => reveal(answer as Places)} />
            {places.map((parked) => (
              <OnePlace
                key={`${parked.kind}/${parked.where}`}
                parked={parked}
                data={
                  (revealed?.places ?? places).find(({ kind, where }) => kind === parked.kind && where === parked.where)
                    ?.data
                }
                reload={loaded.reload}
              />
            ))}
          </>
        )}
      </Answered>
    </Screen>
  );
}

interface OnePlaceProps {
  readonly parked: WireParkedDetails;
  readonly data: unknown;
  readonly reload: () => void;
}

function OnePlace({ parked, data, reload }: OnePlaceProps): VNode {
  const { kind, where, topic, key, state, reason, error, attempts, parkedAt, retryInMs, waitingBehind, headId } =
    parked;
  return (
    <section class="place">
      <div class="headline">
        <h2>
          {kind === 'relay' ? 'Not published by' : 'Not handled by'} {where}
        </h2>
        {mayAct.value ? (
          <span class="acts">
            <button type="button" class="button strong" onClick={() => askRetry(parked, reload)}>
              Try again
            </button>
            <button type="button" class="button grave" onClick={() => askDiscard(parked, reload)}>
              Discard
            </button>
          </span>
        ) : (
          <span class="quiet">An operator can retry or discard it.</span>
        )}
      </div>
      <ValueList
        facts={[
          ['State', <Mark key="state" look={parkedLook(state)} />],
          ['Topic', topic],
          key === null
            ? null
            : [
                'Key',
                <a key="key" href={hrefTo('parked', { key })}>
                  <Plain text={key} />
                </a>,
              ],
          ['Why', <Plain key="why" text={reason} />],
          ['Tries', countText(attempts)],
          ['Parked', <Moment key="at" at={parkedAt} />],
          ['Again', retryInMs === null ? 'not by itself' : retryInMs === 0 ? 'now' : `in ${spanText(retryInMs)}`],
          ['Behind it', waitingBehind === 0 ? 'nothing waits' : `${countText(waitingBehind)} of its key wait`],
          headId === null
            ? null
            : [
                'Waits for',
                <a key="head" href={hrefTo(`parked/${headId}`)}>
                  {headId}
                </a>,
              ],
        ]}
      />
      {error === null ? null : (
        <pre class="fault-text" tabIndex={0} aria-label="Error">
          <Plain text={error} />
        </pre>
      )}
      <Payload title="Payload" value={data} />
    </section>
  );
}
