/**
 * What has been set aside: messages that relays could not publish and consumers could not handle.
 */
import type { VNode } from 'preact';
import type { LookedPage } from '../../server/contract.ts';
import { parkedErrorText } from '../../../message/encrypted-value.ts';
import { mayAct } from '../app/acts.ts';
import { KEY_FIELD, TOPIC_FIELD } from '../parts/filter-fields.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, queryNow } from '../app/router.ts';
import { parkedSelection } from '../app/selections.ts';
import type { WireParked } from '../app/wire.ts';
import { IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { PagedGrid, type GridColumn } from '../parts/grid.tsx';
import { Mark, parkedLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote } from '../parts/states.tsx';
import { ManyButton } from './many-acts.tsx';
import { discardMany, retryMany } from './parked-acts.ts';
import { LOOK_FOR_ON } from '../parts/searched.tsx';
import { ParkedTabs } from './parked-tabs.tsx';

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
  TOPIC_FIELD,
  KEY_FIELD,
  { name: 'group', label: 'Group', hint: 'its id' },
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
      <span title={parkedErrorText(error ?? reason)}>
        <Plain text={parkedErrorText(error ?? reason)} />
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
  const asked = { ...query, lookFor: cursor === null ? null : LOOK_FOR_ON };
  const loaded = useLoaded<LookedPage<WireParked>>('parked', asked, { every: cursor === null ? 5_000 : null });
  const { cursor: _place, ...filter } = query;
  const select = parkedSelection(filter);
  const narrowed = select !== null && Object.keys(select).length > 0;
  return (
    <Screen
      title="Parked"
      aside={
        mayAct.value && narrowed && (loaded.data?.items.length ?? 0) > 0 ? (
          <span class="acts">
            <ManyButton label="Retry all that fit" many={retryMany(select)} />
            <ManyButton label="Discard all that fit" look="grave" many={discardMany(select)} />
          </span>
        ) : null
      }
    >
      <ParkedTabs here="list" query={filter} />
      <Filters fields={FIELDS} />
      <PagedGrid
        caption="Parked messages"
        columns={COLUMNS}
        keyOf={({ kind, where, id }) => `${kind}/${where}/${id}`}
        loaded={loaded}
        cursor={cursor}
        older="Further ones"
        empty={
          <EmptyNote>
            Nothing is parked here. Messages that cannot be published or handled are set aside in this list: place by
            place, in each the oldest first.
          </EmptyNote>
        }
      />
    </Screen>
  );
}
