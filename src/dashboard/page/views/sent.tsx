/**
 * The messages that a run sent, each leading to its way: of one call, and of the whole run with what was written beside its start.
 */
import type { VNode } from 'preact';
import { hrefTo, hrefWith } from '../app/router.ts';
import { several } from '../app/texts.ts';
import type { WireRunPage, WireSent } from '../app/wire.ts';
import { IdText } from '../parts/copy.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';

/** Of a call, or of what compensates it. */
export function MessagesOfCall({ messages }: { readonly messages: readonly WireSent[] }): VNode | null {
  if (messages.length === 0) return null;
  return (
    <section class="sent">
      <h3>{messages.length === 1 ? 'The message it sent' : 'Messages it sent'}</h3>
      <ul class="plain-list">
        {messages.map(({ id, topic, createdAt }) => (
          <li key={id}>
            <a href={hrefTo(`messages/${id}`)}>
              {topic} <IdText id={id} />
            </a>{' '}
            <Moment at={createdAt} />
          </li>
        ))}
      </ul>
    </section>
  );
}

type Sent = WireRunPage['sent'];
const MOST = 100;

const ROLES: Readonly<Record<WireSent['role'], string>> = {
  command: 'command',
  compensation: 'compensates',
  emitted: 'emitted',
  written: 'by its transaction',
};

const COLUMNS: readonly GridColumn<WireSent>[] = [
  {
    title: 'Topic',
    cell: ({ id, topic }) => (
      <a class="row-link" href={hrefTo(`messages/${id}`)}>
        {topic}
      </a>
    ),
  },
  {
    title: 'Call',
    kind: 'wide',
    cell: ({ call }) =>
      call === null ? (
        <span class="quiet">not known</span>
      ) : (
        <a class="plain" href={hrefWith({ call })}>
          <Plain text={call} />
        </a>
      ),
  },
  { title: 'As', cell: ({ role }) => ROLES[role] },
  { title: 'Written', cell: ({ createdAt }) => <Moment at={createdAt} /> },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

export function MessagesOfRun({ sent }: { readonly sent: Sent }): VNode | null {
  const { messages, startedWith, complete } = sent;
  if (messages.length + startedWith.length === 0) return null;
  return (
    <section class="sent-by-run">
      <h2>Messages</h2>
      {startedWith.length === 0 ? null : (
        <p>
          Written in the transaction that started it:{' '}
          {startedWith.map(({ id, topic }, index) => (
            <span key={id}>
              {index === 0 ? '' : ', '}
              <a href={hrefTo(`messages/${id}`)}>{topic}</a>
            </span>
          ))}
        </p>
      )}
      {messages.length === 0 ? null : (
        <Grid
          caption="Messages that the run sent"
          columns={COLUMNS}
          rows={messages.slice(0, MOST)}
          keyOf={({ id }) => id}
        />
      )}
      {messages.length > MOST || !complete ? (
        <p class="quiet">
          {messages.length > MOST ? `The first of ${several(messages.length, 'message')}. ` : ''}
          {complete ? '' : 'It sent more than could be looked for. '}
          Each call shows its own.
        </p>
      ) : null}
    </section>
  );
}
