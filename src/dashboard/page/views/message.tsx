/**
 * One message: its way from the transaction that wrote it to what became of it, with times between, and what it says.
 */
import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useLoaded } from '../app/load.ts';
import { hrefTo } from '../app/router.ts';
import type { Look } from '../app/story.ts';
import { countText, sizeText, spanText } from '../app/texts.ts';
import type { WireMessageDetails, WireScheduled } from '../app/wire.ts';
import { CommandText, CopyButton } from '../parts/copy.tsx';
import { Mark, toneLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Payload, Plain, RevealButton } from '../parts/payload.tsx';
import { ValueList, Screen } from '../parts/screen.tsx';
import { Answered } from '../parts/states.tsx';

type Shown = WireMessageDetails | { readonly scheduled: WireScheduled };

export function MessageScreen({ id }: { readonly id: string }): VNode {
  const loaded = useLoaded<Shown>(`messages/${encodeURIComponent(id)}`, {}, { every: 5_000 });
  const [revealed, reveal] = useState<Shown | null>(null);
  return (
    <Screen title="Message" aside={<MessageId id={id} />}>
      <Answered loaded={loaded}>
        {(data) => {
          const shown = revealed ?? data;
          const button = <RevealButton path={`messages/${id}`} revealed={(answer) => reveal(answer as Shown)} />;
          return 'scheduled' in shown ? (
            <Scheduled scheduled={shown.scheduled}>{button}</Scheduled>
          ) : (
            <Written
              message={{
                ...shown,
                subscriptions: 'scheduled' in data ? [] : data.subscriptions,
                consumers: 'scheduled' in data ? [] : data.consumers,
              }}
            >
              {button}
            </Written>
          );
        }}
      </Answered>
      <p class="quiet">From the command line:</p>
      <CommandText command={`holdfast outbox show ${id}`} />
    </Screen>
  );
}

function MessageId({ id }: { readonly id: string }): VNode {
  return (
    <span class="whole-id">
      <code>{id}</code>
      <CopyButton text={id} what="the id" />
    </span>
  );
}

function Scheduled({
  scheduled,
  children,
}: {
  readonly scheduled: WireScheduled;
  readonly children: ComponentChildren;
}): VNode {
  const { topic, key, dueAt, payload } = scheduled;
  return (
    <>
      <ValueList
        facts={[
          ['State', <Mark key="state" look={{ tone: 'wait', shape: 'ring', word: 'scheduled' }} />],
          ['Due', <Moment key="due" at={dueAt} />],
          ['Topic', topic],
          key === null ? null : ['Key', <Plain key="key" text={key} />],
        ]}
      />
      {children}
      <Payload title="Payload" value={payload} />
    </>
  );
}

const PASSAGES: Readonly<Record<WireMessageDetails['subscriptions'][number]['state'], Look>> = {
  passed: toneLook('ok', 'published'),
  parked: { tone: 'bad', shape: 'square', word: 'parked' },
  waiting: { tone: 'wait', shape: 'ring', word: 'waits for the relay' },
  unrouted: { tone: 'off', shape: 'dash', word: 'no route' },
};

function Written({
  message,
  children,
}: {
  readonly message: WireMessageDetails;
  readonly children: ComponentChildren;
}): VNode {
  const { topic, key, envelope, payloadBytes } = message;
  const text = (name: string): string | null => (typeof envelope[name] === 'string' ? envelope[name] : null);
  const correlation = text('correlationid');
  const causation = text('causationid');
  return (
    <>
      <ValueList
        facts={[
          [
            'Topic',
            <a key="topic" href={hrefTo('messages', { topic })}>
              {topic}
            </a>,
          ],
          key === null
            ? null
            : [
                'Key',
                <a key="key" href={hrefTo('messages', { key })}>
                  <Plain text={key} />
                </a>,
              ],
          ['Payload', sizeText(payloadBytes)],
          ['From', <Plain key="from" text={text('source') ?? ''} />],
          correlation === null
            ? null
            : [
                'Correlation',
                <a key="c" href={hrefTo('find', { q: correlation })}>
                  <Plain text={correlation} />
                </a>,
              ],
          causation === null
            ? null
            : [
                'Caused by',
                <a key="c" href={hrefTo(`messages/${causation}`)}>
                  {causation}
                </a>,
              ],
        ]}
      />
      <h2>Its way</h2>
      <Way message={message} />
      {children}
      <Payload title="Payload" value={envelope['data']} />
      <details>
        <summary>Envelope</summary>
        <Payload
          title="Envelope"
          value={Object.fromEntries(Object.entries(envelope).filter(([name]) => name !== 'data'))}
        />
      </details>
    </>
  );
}

/** Station by station. */
function Way({ message }: { readonly message: WireMessageDetails }): VNode {
  const { id, seq, createdAt, xid, envelope, subscriptions, consumers } = message;
  const headers = (envelope['headers'] ?? {}) as Readonly<Record<string, string>>;
  const run = headers['holdfast-saga'];
  const since = (at: string): string => `+${spanText(Date.parse(at) - Date.parse(createdAt))}`;
  return (
    <ol class="path">
      {run === undefined ? null : (
        <Stop
          look={toneLook('ok', headers['holdfast-role'] === 'compensation' ? 'sent to compensate' : 'sent by a saga')}
          where="Saga"
        >
          <a href={hrefTo(`runs/${run}`, { call: headers['holdfast-call'] })}>
            call <Plain text={headers['holdfast-call'] ?? ''} /> of run {run}
          </a>
        </Stop>
      )}
      <Stop look={toneLook('ok', 'committed')} where="Transaction">
        <Moment at={createdAt} /> <span class="quiet">transaction {xid}</span>
      </Stop>
      <Stop look={toneLook('ok', 'in the log')} where="Outbox">
        <span class="quiet">place {countText(seq)}</span>
      </Stop>
      {subscriptions.map(({ subscription, state }) => (
        <Stop key={subscription} look={PASSAGES[state]} where={`Relay of ${subscription}`}>
          {state === 'parked' ? <a href={hrefTo(`parked/${id}`)}>why, and what to do</a> : null}
        </Stop>
      ))}
      {consumers.map(({ consumer, state, at }) => (
        <Stop
          key={consumer}
          look={state === 'handled' ? toneLook('ok', 'handled') : PASSAGES.parked}
          where={`Consumer ${consumer}`}
        >
          <Moment at={at} /> <span class="quiet">{since(at)}</span>{' '}
          {state === 'parked' ? <a href={hrefTo(`parked/${id}`)}>why, and what to do</a> : null}
        </Stop>
      ))}
      {consumers.length > 0 ? null : (
        <li class="stop quiet">
          No consumer of this database has it in its inbox. Those of other databases are not seen from here.
        </li>
      )}
    </ol>
  );
}

interface StopProps {
  readonly where: string;
  readonly look: Look;
  readonly children?: ComponentChildren;
}

function Stop({ where, look, children }: StopProps): VNode {
  return (
    <li class={`stop ${look.tone}`}>
      <span class="stop-where">{where}</span>
      <Mark look={look} />
      <span class="stop-more">{children}</span>
    </li>
  );
}
