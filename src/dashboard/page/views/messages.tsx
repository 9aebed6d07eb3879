/**
 * The log: messages that services wrote, newest first, searched by what stands in them.
 */
import type { VNode } from 'preact';
import { sessionState } from '../app/api.ts';
import { KEY_FIELD, TOPIC_FIELD, sinceField, untilField } from '../parts/filter-fields.ts';
import { hrefTo, hrefWith } from '../app/router.ts';
import { sizeText } from '../app/texts.ts';
import type { WireMessage } from '../app/wire.ts';
import { IdText } from '../parts/copy.tsx';
import { Filters, type FilterField } from '../parts/filters.tsx';
import type { GridColumn } from '../parts/grid.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { NO_PAGE, SearchedGrid, useSearched } from '../parts/searched.tsx';
import { EmptyNote } from '../parts/states.tsx';

const FIELDS: readonly FilterField[] = [
  TOPIC_FIELD,
  KEY_FIELD,
  { name: 'correlation', label: 'Correlation id', hint: 'all of it' },
  sinceField('Since'),
  untilField('Until'),
];
const MORE: readonly FilterField[] = [
  { name: 'cause', label: 'Caused by', hint: 'the id of a message' },
  { name: 'id', label: 'Id', hint: 'or how it begins' },
];
/** For those who may be told what payloads hold. */
const PAYLOAD: FilterField = { name: 'payload', label: 'Payload contains', hint: '{"orderId": "o-1"}', long: true };
const HEADERS: FilterField = { name: 'headers', label: 'Header', hint: 'tenant=a' };
const ASKED = [...FIELDS, ...MORE, PAYLOAD, HEADERS].map(({ name }) => name);

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
        <a class="plain" href={hrefWith({ key, ...NO_PAGE })}>
          <Plain text={key} />
        </a>
      ),
  },
  {
    title: 'Sent by',
    cell: ({ command }) =>
      command === null ? (
        ''
      ) : (
        <a class="plain" href={hrefTo(`runs/${command.run}`, { call: command.call })}>
          {command.role === 'compensation' ? 'back of ' : ''}
          <Plain text={command.call} /> of a run
        </a>
      ),
  },
  { title: 'Written', cell: ({ createdAt }) => <Moment at={createdAt} /> },
  { title: 'Payload', kind: 'number', cell: ({ payloadBytes }) => sizeText(payloadBytes) },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function MessagesScreen(): VNode {
  const loaded = useSearched<WireMessage>('messages', ASKED);
  const current = sessionState.value;
  const byValue = current.state === 'in' && current.session.searchesValues;
  return (
    <Screen title="Messages">
      <Filters fields={byValue ? [...FIELDS, PAYLOAD] : FIELDS} more={byValue ? [...MORE, HEADERS] : MORE} />
      <SearchedGrid
        caption="Messages of the log"
        one="message"
        columns={COLUMNS}
        keyOf={({ id }) => id}
        loaded={loaded}
        empty={
          <EmptyNote>
            No message fits. The log keeps them for as long as its retention says, and no search looks into what is
            encrypted.
          </EmptyNote>
        }
      />
    </Screen>
  );
}
