/**
 * The log: messages that services wrote, newest first.
 */
import type { VNode } from 'preact';
import type { ListPage } from '../../server/contract.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, hrefWith, queryNow } from '../app/router.ts';
import { sizeText } from '../app/texts.ts';
import type { WireMessage } from '../app/wire.ts';
import { IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import { PagedGrid, type GridColumn } from '../parts/grid.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote } from '../parts/states.tsx';

const FIELDS: readonly FilterField[] = [
  { name: 'topic', label: 'Topic', hint: 'order.placed, order.*' },
  { name: 'key', label: 'Key', hint: 'the whole key' },
  { name: 'since', label: 'Since', hint: '30m, 2h, 7d, or a date' },
  { name: 'until', label: 'Until', hint: '5m, or a date' },
];
const ASKED = [...FIELDS.map(({ name }) => name), 'cursor'];

const COLUMNS: readonly GridColumn<WireMessage>[] = [
  {
    title: 'Topic',
    cell: ({ id, topic }) => (
      <a class="row-link" href={hrefTo(`messages/${id}`)}>
        {topic}
      </a>
    ),
  },
  {
    title: 'Key',
    kind: 'wide',
    cell: ({ key }) =>
      key === null ? (
        <span class="quiet">none</span>
      ) : (
        <a class="plain" href={hrefWith({ key, cursor: null })}>
          <Plain text={key} />
        </a>
      ),
  },
  { title: 'Written', cell: ({ createdAt }) => <Moment at={createdAt} /> },
  { title: 'Payload', kind: 'number', cell: ({ payloadBytes }) => sizeText(payloadBytes) },
  { title: 'Place in the log', kind: 'number', cell: ({ seq }) => seq },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function MessagesScreen(): VNode {
  const query = queryNow(ASKED);
  const cursor = query['cursor'] ?? null;
  const loaded = useLoaded<ListPage<WireMessage>>('messages', query, { every: cursor === null ? 5_000 : null });
  return (
    <Screen title="Messages">
      <Filters fields={FIELDS} />
      <PagedGrid
        caption="Messages of the log"
        columns={COLUMNS}
        keyOf={({ id }) => id}
        loaded={loaded}
        cursor={cursor}
        older="Older messages"
        empty={<EmptyNote>No message fits. The log keeps them for as long as its retention says.</EmptyNote>}
      />
    </Screen>
  );
}
